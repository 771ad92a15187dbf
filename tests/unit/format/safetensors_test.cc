#include "service/format/safetensors.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "gtest/gtest.h"
#include "tests/unit/format/test_entry.h"

namespace chunkkv {
namespace {

std::string FileOf(const std::string& json, size_t body_bytes) {
  const uint64_t length = json.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  return file.append(json).append(body_bytes, 'b');
}

absl::StatusOr<SafetensorsHeader> Parsed(const std::string& file) {
  return ParseSafetensors(AsBytes(file), static_cast<int64_t>(file.size()));
}

TEST(SafetensorsTest, ReadsBackWhatItWrites) {
  const std::vector<SafetensorsTensor> tensors = {{"b", "F32", {2, 3}, 0, 24},
                                                  {"a \"quoted\" é", "BF16", {}, 24, 2},
                                                  {"empty", "I32", {0, 5}, 26, 0},
                                                  {"raw", "U8", {3}, 26, 3}};
  const std::map<std::string, std::string> metadata = {{"k", "{\"x\": [1]}"}, {"", "\n"}};
  const std::string head = EncodeSafetensorsHead(tensors, metadata);
  EXPECT_EQ(head.size() % 64, 0u);
  const auto parsed = Parsed(head + std::string(29, 'b'));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->metadata, metadata);
  EXPECT_EQ(parsed->body_offset, static_cast<int64_t>(head.size()));
  EXPECT_EQ(parsed->body_bytes, 29);
  ASSERT_EQ(parsed->tensors.size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(parsed->tensors[i].name, tensors[i].name);
    EXPECT_EQ(parsed->tensors[i].dtype, tensors[i].dtype);
    EXPECT_EQ(parsed->tensors[i].shape, tensors[i].shape);
    EXPECT_EQ(parsed->tensors[i].offset, tensors[i].offset);
    EXPECT_EQ(parsed->tensors[i].size_bytes, tensors[i].size_bytes);
  }
  EXPECT_EQ(parsed->Find("raw")->offset, 26);
  EXPECT_EQ(parsed->Find("none"), nullptr);
}

TEST(SafetensorsTest, PutsTensorsIntoBodyOrder) {
  const auto parsed = Parsed(FileOf(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[4,6]},)"
                                    R"("b":{"data_offsets":[0,4],"shape":[1,4],"dtype":"I8"}} )",
                                    6));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->tensors[0].name, "b");
  EXPECT_EQ(parsed->tensors[1].name, "a");
}

TEST(SafetensorsTest, AcceptsAFileWithoutTensors) {
  EXPECT_TRUE(Parsed(FileOf("{}", 0)).ok());
  EXPECT_TRUE(Parsed(EncodeSafetensorsHead({}, {})).ok());
  EXPECT_TRUE(Parsed(EncodeSafetensorsHead({}, {{"only", "metadata"}})).ok());
}

TEST(SafetensorsTest, RefusesEverythingElse) {
  const auto one = [](const std::string& fields) { return absl::StrCat("{\"a\":{", fields, "}}"); };
  const std::string dtype = R"("dtype":"F32",)";
  const std::string shape = R"("shape":[2],)";
  struct Case {
    std::string json;
    size_t body_bytes;
  };
  const Case cases[] = {
      {one(dtype + shape + R"("data_offsets":[0,8])"), 9},
      {one(dtype + shape + R"("data_offsets":[0,8])"), 7},
      {one(dtype + shape + R"("data_offsets":[1,9])"), 9},
      {one(dtype + shape + R"("data_offsets":[8,0])"), 8},
      {one(dtype + shape + R"("data_offsets":[0,4])"), 4},
      {one(dtype + shape + R"("data_offsets":[0])"), 8},
      {one(dtype + shape + R"("data_offsets":[0,8,8])"), 8},
      {one(dtype + shape + R"("data_offsets":[0,8.0])"), 8},
      {one(dtype + shape + R"("data_offsets":[-1,7])"), 8},
      {one(dtype + shape + R"("data_offsets":8)"), 8},
      {one(dtype + shape + R"("data_offsets":[0,"8"])"), 8},
      {one(dtype + shape + R"("data_offsets":[[0,8]])"), 8},
      {one(dtype + shape + R"("data_offsets":[0,18446744073709551615])"), 8},
      {one(dtype + R"("data_offsets":[0,8])"), 8},
      {one(shape + R"("data_offsets":[0,8])"), 8},
      {one(dtype + R"("shape":[2])"), 0},
      {one(dtype + R"("shape":[-2],"data_offsets":[0,8])"), 8},
      {one(dtype + R"("shape":[4611686018427387904,4],"data_offsets":[0,0])"), 0},
      {one(dtype + R"("shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,4])"), 4},
      {one(R"("dtype":"F31","shape":[2],"data_offsets":[0,8])"), 8},
      {one(R"("dtype":7,"shape":[2],"data_offsets":[0,8])"), 8},
      {one(dtype + dtype + shape + R"("data_offsets":[0,8])"), 8},
      {one(dtype + shape + R"("data_offsets":[0,8],"more":1)"), 8},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       2},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       3},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
       3},
      {R"({"__metadata__":{"a":1}})", 0},
      {R"({"__metadata__":{"a":{}}})", 0},
      {R"({"__metadata__":{"a":"x","a":"x"}})", 0},
      {R"({"__metadata__":{},"__metadata__":{}})", 0},
      {R"({"__metadata__":[]})", 0},
      {R"({"a":null})", 0},
      {R"({"a":true})", 0},
      {R"({"a":"x"})", 0},
      {"[]", 0},
      {"7 ", 0},
      {"  {}", 0},
      {"{} x", 0},
      {"{}{}", 0},
      {"{\"a\xff\":{}}", 0},
      {std::string(100000, '['), 0},
      {std::string("{\"a\":") + std::string(100000, '{'), 0},
      {"", 0},
  };
  for (const Case& bad : cases) {
    const absl::Status status = Parsed(FileOf(bad.json, bad.body_bytes)).status();
    EXPECT_EQ(StatusReason(status), "NOT_SAFETENSORS") << bad.json.substr(0, 120);
  }
}

TEST(SafetensorsTest, RefusesAHeaderLengthBeyondTheFileOrTheLimit) {
  const std::string file = FileOf("{}", 0);
  for (const uint64_t length : {uint64_t{0}, uint64_t{1}, uint64_t{3}, uint64_t{1} << 27, UINT64_MAX, UINT64_MAX - 7}) {
    std::string changed = file;
    std::memcpy(changed.data(), &length, sizeof length);
    EXPECT_EQ(StatusReason(Parsed(changed).status()), "NOT_SAFETENSORS") << length;
    // Whatever the size that is claimed for the file.
    EXPECT_EQ(StatusReason(ParseSafetensors(AsBytes(changed), INT64_MAX).status()), "NOT_SAFETENSORS") << length;
  }
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_EQ(StatusReason(Parsed(file.substr(0, size)).status()), "NOT_SAFETENSORS") << size;
  }
}

}  // namespace
}  // namespace chunkkv
