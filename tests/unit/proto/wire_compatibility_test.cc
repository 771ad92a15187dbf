// The wire is settled: proto/chunkkv/v1/wire.lock holds every message, field, enum value and RPC that was ever
// published, and nothing in it may change, vanish or be renumbered. What was added needs its lines in the lock:
// CHUNKKV_UPDATE_WIRE_LOCK=1 adds them, and refuses to touch the others.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "chunkkv/v1/get.pb.h"
#include "chunkkv/v1/payload.pb.h"
#include "chunkkv/v1/put.pb.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"

namespace chunkkv {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

const char kLockPath[] = CHUNKKV_SOURCE_DIR "/proto/chunkkv/v1/wire.lock";

// "chunkkv.v1.Begin.token_count" -> "6 int64 singular": what is named and all that its encoding depends on.
using Wire = std::map<std::string, std::string>;

std::string LabelOf(const FieldDescriptor& field) {
  std::string label = field.is_repeated() ? "repeated" : "singular";
  if (field.is_map()) label = "map";
  if (field.has_optional_keyword()) label = "optional";
  if (field.real_containing_oneof() != nullptr) label = "oneof:" + field.real_containing_oneof()->name();
  if (field.is_packed()) label += " packed";
  return label;
}

std::string TypeOf(const FieldDescriptor& field) {
  if (field.message_type() != nullptr) return field.message_type()->full_name();
  if (field.enum_type() != nullptr) return field.enum_type()->full_name();
  return field.type_name();
}

void AddEnum(const EnumDescriptor& type, Wire* wire) {
  for (int i = 0; i < type.value_count(); ++i) {
    (*wire)[type.full_name() + "." + type.value(i)->name()] = std::to_string(type.value(i)->number()) + " value";
  }
}

void AddMessage(const Descriptor& message, Wire* wire) {
  (*wire)[message.full_name()] = "message";
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    (*wire)[message.full_name() + "." + field.name()] =
        std::to_string(field.number()) + " " + TypeOf(field) + " " + LabelOf(field);
  }
  for (int i = 0; i < message.nested_type_count(); ++i) AddMessage(*message.nested_type(i), wire);
  for (int i = 0; i < message.enum_type_count(); ++i) AddEnum(*message.enum_type(i), wire);
}

void AddService(const ServiceDescriptor& service, Wire* wire) {
  for (int i = 0; i < service.method_count(); ++i) {
    const MethodDescriptor& method = *service.method(i);
    (*wire)[method.full_name()] = std::string("rpc ") + (method.client_streaming() ? "stream " : "") +
                                  method.input_type()->full_name() + " " +
                                  (method.server_streaming() ? "stream " : "") + method.output_type()->full_name();
  }
}

Wire CompiledWire() {
  Wire wire;
  for (const auto& source : std::filesystem::directory_iterator(CHUNKKV_SOURCE_DIR "/proto/chunkkv/v1")) {
    if (source.path().extension() != ".proto") continue;
    const std::string name = "chunkkv/v1/" + source.path().filename().string();
    const FileDescriptor* file = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(name);
    EXPECT_NE(file, nullptr) << name << " is not compiled into chunkkv_proto";
    if (file == nullptr) continue;
    for (int i = 0; i < file->message_type_count(); ++i) AddMessage(*file->message_type(i), &wire);
    for (int i = 0; i < file->enum_type_count(); ++i) AddEnum(*file->enum_type(i), &wire);
    for (int i = 0; i < file->service_count(); ++i) AddService(*file->service(i), &wire);
  }
  return wire;
}

Wire LockedWire() {
  std::ifstream file(kLockPath);
  Wire wire;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.front() == '#') continue;
    const size_t space = line.find(' ');
    const bool is_new = wire.emplace(line.substr(0, space), line.substr(space + 1)).second;
    EXPECT_TRUE(is_new) << "wire.lock names " << line.substr(0, space) << " twice";
  }
  return wire;
}

void WriteLock(const Wire& wire) {
  std::ofstream file(kLockPath, std::ios::trunc);
  file << "# Every message, field, enum value and RPC that was ever published. Lines are added, never changed: "
          "README.md.\n"
          "# <name> <number> <type> <label> | <name> <number> value | <name> message | <name> rpc <request> "
          "<response>\n";
  for (const auto& [name, encoding] : wire) file << name << " " << encoding << "\n";
  ASSERT_TRUE(file.flush().good());
}

bool IsUpdate() {
  const char* update = std::getenv("CHUNKKV_UPDATE_WIRE_LOCK");
  return update != nullptr && std::string(update) == "1";
}

// One line for each thing of `locked` that `compiled` broke.
std::vector<std::string> Breaks(const Wire& locked, const Wire& compiled) {
  std::vector<std::string> breaks;
  for (const auto& [name, encoding] : locked) {
    const auto found = compiled.find(name);
    if (found == compiled.end()) {
      breaks.push_back(name + " vanished; it was published as: " + encoding);
    } else if (found->second != encoding) {
      breaks.push_back(name + " was published as: " + encoding + "; it is now: " + found->second);
    }
  }
  return breaks;
}

TEST(WireCompatibilityTest, NothingPublishedHasChanged) {
  const Wire locked = LockedWire();
  ASSERT_TRUE(IsUpdate() || locked.size() > 100u) << kLockPath << " is missing or cut short";
  for (const std::string& text : Breaks(locked, CompiledWire())) ADD_FAILURE() << text;
}

TEST(WireCompatibilityTest, EveryAdditionStandsInTheLock) {
  const Wire locked = LockedWire();
  const Wire compiled = CompiledWire();
  if (IsUpdate()) {
    ASSERT_TRUE(Breaks(locked, compiled).empty()) << "only additions can be locked";
    WriteLock(compiled);
    return;
  }
  for (const auto& [name, encoding] : compiled) {
    EXPECT_TRUE(locked.contains(name)) << "new on the wire: " << name << " " << encoding
                                       << "\nadd its line to wire.lock: CHUNKKV_UPDATE_WIRE_LOCK=1 proto_test";
  }
}

TEST(WireCompatibilityTest, NoticesAChangeARemovalAndARenumbering) {
  const Wire compiled = CompiledWire();
  EXPECT_TRUE(Breaks(compiled, compiled).empty());
  Wire locked = compiled;
  ASSERT_EQ(locked.at("chunkkv.v1.Begin.token_count"), "6 int64 singular");
  locked["chunkkv.v1.Begin.token_count"] = "7 int64 singular";
  locked["chunkkv.v1.Begin.gone"] = "99 int64 singular";
  locked["chunkkv.v1.Policy.POLICY_H2O"] = "5 value";
  EXPECT_EQ(Breaks(locked, compiled).size(), 3u);
}

TEST(WireRulesTest, PayloadsComeLast) {
  // Fields are encoded in the order of their numbers: a receiver knows a part's place before its bytes.
  const auto highest = [](const Descriptor& message) {
    const FieldDescriptor* last = message.field(0);
    for (int i = 1; i < message.field_count(); ++i) {
      if (message.field(i)->number() > last->number()) last = message.field(i);
    }
    return last->name();
  };
  EXPECT_EQ(highest(*v1::Part::descriptor()), "payload");
  EXPECT_EQ(highest(*v1::TensorPayload::descriptor()), "inline");
  EXPECT_EQ(highest(*v1::PutCacheRequest::descriptor()), "part");
  EXPECT_EQ(highest(*v1::GetCacheResponse::descriptor()), "part");
}

TEST(WireRulesTest, EveryEnumBeginsUnspecified) {
  for (const auto& [name, encoding] : CompiledWire()) {
    if (encoding != "0 value") continue;
    EXPECT_TRUE(name.ends_with("_UNSPECIFIED")) << name;
  }
}

TEST(WireRulesTest, UnknownFieldsAreNoError) {
  v1::Commit commit;
  commit.set_content_digest("0123456789abcdef");
  std::string bytes = commit.SerializeAsString();
  bytes += std::string(
      "\xfa\x7f\x03"
      "abc",
      6);  // field 2047, three bytes
  v1::Commit read;
  ASSERT_TRUE(read.ParseFromString(bytes));
  EXPECT_EQ(read.content_digest(), commit.content_digest());
}

}  // namespace
}  // namespace chunkkv
