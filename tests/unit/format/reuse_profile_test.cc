#include "service/format/reuse_profile.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "chunkkv/kernels/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/format/test_entry.h"

namespace chunkkv {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// Four layers: 0 and 1 led by 1, 2 and 3 together.
ReuseProfile Profile() {
  ReuseProfile profile;
  profile.name = "llama, retrieval";
  profile.model = TestModel();
  profile.model.layer_count = 4;
  profile.spec.policy = Policy::kChunkKv;
  profile.spec.keep_ratio = 0.1;
  profile.spec.window_length = 8;
  profile.max_loss = 0.02;
  profile.max_worst_loss = 0.5;
  profile.prompt_count = 50;
  profile.token_count = 51'200;
  profile.groups = {{0, 2, 1}, {2, 2, -1}};
  profile.layers = {{0.5, 0.01, 0.25}, {0.625, 0, 0}, {1.0 / 3, -0.001, 0.1}, {0.9, 0.02, 0.5}};
  return profile;
}

json ProfileJson() { return json::parse(ReuseProfileText(Profile())); }

TEST(ReuseProfileTest, ReadsBackWhatWasWritten) {
  const std::string text = ReuseProfileText(Profile());
  const absl::StatusOr<ReuseProfile> read = ParseReuseProfile(text);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->name, Profile().name);
  EXPECT_EQ(read->model, Profile().model);
  EXPECT_EQ(read->groups, Profile().groups);
  EXPECT_EQ(read->layers, Profile().layers);
  EXPECT_EQ(read->spec.keep_ratio, 0.1);
  EXPECT_EQ(read->max_worst_loss, 0.5);
  EXPECT_EQ(ReuseProfileText(*read), text);
}

TEST(ReuseProfileTest, TheWorstPromptMayBeUnbound) {
  ReuseProfile profile = Profile();
  profile.max_worst_loss.reset();
  profile.given_chunks = true;
  const absl::StatusOr<ReuseProfile> read = ParseReuseProfile(ReuseProfileText(profile));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE(read->max_worst_loss.has_value());
  EXPECT_TRUE(read->given_chunks);
}

struct Fault {
  const char* name;
  std::function<void(json&)> make;
  const char* message;  // part of it
};

class ReuseProfileFaultTest : public testing::TestWithParam<Fault> {};

TEST_P(ReuseProfileFaultTest, IsRefusedByName) {
  json object = ProfileJson();
  GetParam().make(object);
  const absl::Status status = ParseReuseProfile(object.dump()).status();
  EXPECT_EQ(StatusReason(status), "BAD_PROFILE") << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

const Fault kFaults[] = {
    {"format", [](json& o) { o["format"] = "chunkkv.record"; }, "format"},
    {"no_version", [](json& o) { o.erase("format_version"); }, "format_version"},
    {"version_zero", [](json& o) { o["format_version"] = 0; }, "format_version"},
    {"unknown_member", [](json& o) { o["comment"] = "x"; }, "comment"},
    {"no_name", [](json& o) { o.erase("name"); }, "name"},
    {"empty_name", [](json& o) { o["name"] = ""; }, "name"},
    {"name_with_control", [](json& o) { o["name"] = "a\nb"; }, "name"},
    {"long_name", [](json& o) { o["name"] = std::string(129, 'a'); }, "name"},
    {"no_model", [](json& o) { o.erase("model"); }, "model"},
    {"incomplete_model", [](json& o) { o["model"].erase("revision"); }, "model"},
    {"another_model", [](json& o) { o["model"]["revision"] = "other"; }, "fingerprint"},
    {"no_spec", [](json& o) { o.erase("spec"); }, "spec"},
    {"unknown_policy", [](json& o) { o["spec"]["policy"] = "best"; }, "spec"},
    {"policy_without_scores",
     [](json& o) {
       o["spec"] = {{"policy", "full"}};
     },
     "policy"},
    {"groups_in_spec", [](json& o) { o["spec"]["reuse_group"] = 2; }, "spec"},
    {"guardrail_in_spec", [](json& o) { o["spec"]["min_retained_mass"] = 0.5; }, "spec"},
    {"unknown_in_spec", [](json& o) { o["spec"]["chunks"] = 3; }, "spec"},
    {"keep_ratio_above_one", [](json& o) { o["spec"]["keep_ratio"] = 1.5; }, "keep_ratio"},
    {"no_budget", [](json& o) { o["spec"].erase("keep_ratio"); }, "keep_ratio"},
    {"given_chunks_as_number", [](json& o) { o["given_chunks"] = 1; }, "given_chunks"},
    {"max_loss_of_one", [](json& o) { o["max_loss"] = 1; }, "max_loss"},
    {"max_loss_below_zero", [](json& o) { o["max_loss"] = -0.01; }, "max_loss"},
    {"max_worst_loss_as_text", [](json& o) { o["max_worst_loss"] = "0.1"; }, "max_worst_loss"},
    {"no_prompts", [](json& o) { o["prompt_count"] = 0; }, "prompt_count"},
    {"no_tokens", [](json& o) { o.erase("token_count"); }, "token_count"},
    {"groups_as_object", [](json& o) { o["groups"] = json::object(); }, "groups"},
    {"no_groups", [](json& o) { o["groups"] = json::array(); }, "groups"},
    {"misspelt_leader",
     [](json& o) {
       o["groups"][0] = {{"first_layer", 0}, {"layer_count", 2}, {"leder", 1}};
     },
     "leder"},
    {"null_leader", [](json& o) { o["groups"][0]["leader"] = nullptr; }, "groups[0]"},
    {"leader_outside", [](json& o) { o["groups"][0]["leader"] = 2; }, "leader"},
    {"gap", [](json& o) { o["groups"][1]["first_layer"] = 3; }, "groups"},
    {"overlap", [](json& o) { o["groups"][1]["first_layer"] = 1; }, "groups"},
    {"too_few_layers", [](json& o) { o["groups"].erase(1); }, "groups"},
    {"too_many_layers", [](json& o) { o["groups"][1]["layer_count"] = 3; }, "groups"},
    {"layer_missing", [](json& o) { o["layers"].erase(3); }, "groups"},
    {"layers_above_model",
     [](json& o) {
       o["layers"].push_back(o["layers"][0]);
       o["groups"][1]["layer_count"] = 3;
     },
     "layers"},
    {"loss_missing", [](json& o) { o["layers"][1].erase("worst_loss"); }, "layers[1]"},
    {"loss_above_bound", [](json& o) { o["layers"][2]["mean_loss"] = 0.021; }, "layers[2]"},
    {"worst_above_bound", [](json& o) { o["layers"][2]["worst_loss"] = 0.6; }, "layers[2]"},
};

INSTANTIATE_TEST_SUITE_P(Every, ReuseProfileFaultTest, testing::ValuesIn(kFaults),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(ReuseProfileTest, TextThatIsNoObject) {
  const std::string text = ReuseProfileText(Profile());
  for (const std::string& bad : {std::string(), std::string("[]"), std::string("null"), text.substr(0, text.size() / 2),
                                 "{\"format\":\"x\"," + text.substr(1), std::string(100, '['), text + text}) {
    EXPECT_EQ(StatusReason(ParseReuseProfile(bad).status()), "BAD_PROFILE") << bad.substr(0, 60);
  }
}

TEST(ReuseProfileTest, AnyChangedByteIsReadOrRefused) {
  const std::string text = ReuseProfileText(Profile());
  for (size_t at = 0; at < text.size(); ++at) {
    for (const char byte : {'\0', '9', '-', '"', ']', '\xff'}) {
      std::string changed = text;
      changed[at] = byte;
      const absl::StatusOr<ReuseProfile> read = ParseReuseProfile(changed);
      const std::string reason = StatusReason(read.status());
      if (!read.ok()) {
        EXPECT_TRUE(reason == "BAD_PROFILE" || reason == "PROFILE_FORMAT_NEWER") << read.status() << changed;
      } else {
        EXPECT_TRUE(ParseReuseProfile(ReuseProfileText(*read)).ok()) << changed;
      }
    }
  }
}

TEST(ReuseProfileTest, NewerVersionsAreRefusedWhateverElseTheyHold) {
  const absl::Status status =
      ParseReuseProfile(R"({"format":"chunkkv.reuse_profile","format_version":2,"more":1})").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(StatusReason(status), "PROFILE_FORMAT_NEWER");
}

TEST(ReuseProfileTest, FilesAreWholeAndReadable) {
  std::string folder = testing::TempDir() + "chunkkv_profile_XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/profile.json";
  ASSERT_TRUE(WriteReuseProfile(path, Profile()).ok());
  struct stat status;
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0644u);
  const absl::StatusOr<ReuseProfile> read = ReadReuseProfile(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ReuseProfileText(*read), ReuseProfileText(Profile()));

  EXPECT_EQ(ReadReuseProfile(folder + "/absent").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(StatusReason(ReadReuseProfile(folder).status()), "BAD_PROFILE");
  EXPECT_FALSE(WriteReuseProfile(folder + "/absent/profile.json", Profile()).ok());
  std::ofstream(path) << std::string((4 << 20) + 1, ' ');
  EXPECT_EQ(StatusReason(ReadReuseProfile(path).status()), "BAD_PROFILE");
  std::filesystem::remove_all(folder);
}

TEST(ReuseProfileTest, IsMeasuredWithTheSameChoiceOnly) {
  const ReuseProfile profile = Profile();
  CompactionSpec spec = profile.spec;
  spec.groups = profile.groups;
  spec.min_retained_mass = 0.3;
  spec.chunk_length = 10;  // the default, spelt out
  EXPECT_TRUE(IsMeasuredWith(profile, spec));
  spec.chunk_starts = {0, 5};
  EXPECT_FALSE(IsMeasuredWith(profile, spec));
  ReuseProfile of_spans = profile;
  of_spans.given_chunks = true;
  spec.chunk_reduce = ChunkReduce::kMax;  // the default of given chunks, spelt out
  EXPECT_TRUE(IsMeasuredWith(of_spans, spec));
  spec.chunk_reduce = ChunkReduce::kSum;
  EXPECT_FALSE(IsMeasuredWith(of_spans, spec));
  spec.chunk_reduce.reset();
  spec.chunk_starts.clear();
  spec.keep_ratio = 0.2;
  EXPECT_FALSE(IsMeasuredWith(profile, spec));
}

}  // namespace
}  // namespace chunkkv
