#include "service/format/identity.h"

#include <functional>
#include <limits>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/format/test_entry.h"

namespace chunkkv {
namespace {

std::string ReasonOf(const std::function<void(ModelIdentity*)>& change) {
  ModelIdentity model = TestModel();
  change(&model);
  return StatusReason(ValidateModelIdentity(model));
}

TEST(ModelIdentityTest, IsIncompleteWithoutEachRequiredField) {
  EXPECT_EQ(ReasonOf([](ModelIdentity*) {}), "");
  const auto incomplete = testing::StrEq("MODEL_IDENTITY_INCOMPLETE");
  EXPECT_THAT(StatusReason(ValidateModelIdentity({})), incomplete);
  EXPECT_THAT(ReasonOf([](ModelIdentity* model) { model->name.clear(); }), incomplete);
  EXPECT_THAT(ReasonOf([](ModelIdentity* model) { model->revision.clear(); }), incomplete);
  EXPECT_THAT(ReasonOf([](ModelIdentity* model) { model->kv_dtype.clear(); }), incomplete);
  EXPECT_THAT(ReasonOf([](ModelIdentity* model) { model->layer_count = 0; }), incomplete);
  EXPECT_THAT(ReasonOf([](ModelIdentity* model) { model->kv_head_count = -1; }), incomplete);
  EXPECT_THAT(ReasonOf([](ModelIdentity* model) { model->key_head_size = 0; }), incomplete);
  EXPECT_THAT(ReasonOf([](ModelIdentity* model) { model->value_head_size = -1; }), incomplete);
  EXPECT_THAT(ReasonOf([](ModelIdentity* model) { model->adapters[1].name.clear(); }), incomplete);
  EXPECT_THAT(ReasonOf([](ModelIdentity* model) { model->extra.emplace("", "x"); }), incomplete);
  EXPECT_EQ(ReasonOf([](ModelIdentity* model) { model->value_head_size = 0; }), "");
}

TEST(ModelIdentityTest, RefusesNamesThatArePathsOrNoText) {
  const std::string bad_names[] = {"../etc/passwd",
                                   "a/../b",
                                   "a\\..\\b",
                                   "/etc/passwd",
                                   "\\share",
                                   "..",
                                   "a/..",
                                   "%2e%2e/x",
                                   "a%2Eb",
                                   std::string("a\0b", 3),
                                   "a\nb",
                                   "\x7f",
                                   "\xc2\x85",
                                   "\xff",
                                   "\xc0\xaf",
                                   "\xed\xa0\x80",
                                   "\xf4\x90\x80\x80",
                                   "\xe2\x82",
                                   std::string(1025, 'x')};
  for (const std::string& name : bad_names) {
    EXPECT_EQ(ReasonOf([&](ModelIdentity* model) { model->name = name; }), "BAD_NAME") << name;
    EXPECT_EQ(ReasonOf([&](ModelIdentity* model) { model->revision = name; }), "BAD_NAME") << name;
    EXPECT_EQ(ReasonOf([&](ModelIdentity* model) { model->kv_dtype = name; }), "BAD_NAME") << name;
    EXPECT_EQ(ReasonOf([&](ModelIdentity* model) { model->quantization = name; }), "BAD_NAME") << name;
    EXPECT_EQ(ReasonOf([&](ModelIdentity* model) { model->rope = name; }), "BAD_NAME") << name;
    EXPECT_EQ(ReasonOf([&](ModelIdentity* model) { model->adapters[0].name = name; }), "BAD_NAME") << name;
    EXPECT_EQ(ReasonOf([&](ModelIdentity* model) { model->adapters[0].revision = name; }), "BAD_NAME") << name;
    EXPECT_EQ(ReasonOf([&](ModelIdentity* model) { model->extra.emplace(name, "x"); }), "BAD_NAME") << name;
    EXPECT_EQ(ReasonOf([&](ModelIdentity* model) { model->extra["x"] = name; }), "BAD_NAME") << name;
  }
  for (const std::string& name : {std::string(1024, 'x'), std::string("org/model..v2"), std::string("100%2"),
                                  std::string("\xf0\x9f\x98\x80\xe6\xa8\xa1")}) {
    EXPECT_EQ(ReasonOf([&](ModelIdentity* model) { model->name = name; }), "") << name;
  }
}

TEST(ModelIdentityTest, RefusesMoreThan64AdaptersOrExtras) {
  EXPECT_EQ(ReasonOf([](ModelIdentity* model) { model->adapters.assign(65, {"a", "b"}); }), "TOO_MANY_NAMES");
  EXPECT_EQ(ReasonOf([](ModelIdentity* model) {
              for (int i = 0; i < 65; ++i) model->extra.emplace(absl::StrCat("key", i), "x");
            }),
            "TOO_MANY_NAMES");
}

TEST(ModelIdentityTest, IsReadBackFromItsCanonicalText) {
  ModelIdentity model = TestModel();
  model.extra["quote"] = "a\"b\\c/d";
  const auto read = ModelIdentityFromCanonicalText(CanonicalText(model));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, model);
}

TEST(ModelIdentityTest, IsNotReadFromAnyOtherText) {
  const std::string text = CanonicalText(TestModel());
  const std::string others[] = {"",
                                "{}",
                                "[]",
                                "null",
                                absl::StrCat(text, " "),
                                absl::StrCat(" ", text),
                                text.substr(0, text.size() - 1),
                                text + text,
                                std::string(100000, '['),
                                absl::StrCat("{\"adapters\":[],", text.substr(1))};
  for (const std::string& other : others) {
    EXPECT_EQ(StatusReason(ModelIdentityFromCanonicalText(other).status()), "BAD_CANONICAL_TEXT")
        << other.substr(0, 80);
  }
  ModelIdentity incomplete = TestModel();
  incomplete.revision.clear();
  EXPECT_EQ(StatusReason(ModelIdentityFromCanonicalText(CanonicalText(incomplete)).status()),
            "MODEL_IDENTITY_INCOMPLETE");
}

TEST(ShardTest, ResolvesToTheWholeModelWhenUnset) {
  const auto shard = ResolveShard({0, 0, 0, 0, 0, 0, 0, 0}, TestModel());
  ASSERT_TRUE(shard.ok()) << shard.status();
  EXPECT_EQ(*shard, (Shard{0, 1, 0, 1, 0, 3, 0, 2}));
  EXPECT_FALSE(shard->IsSharded());
}

TEST(ShardTest, KeepsWhatIsInsideTheModel) {
  const Shard last{1, 2, 2, 3, 2, 1, 1, 1};
  const auto shard = ResolveShard(last, TestModel());
  ASSERT_TRUE(shard.ok()) << shard.status();
  EXPECT_EQ(*shard, last);
  EXPECT_TRUE(shard->IsSharded());
}

TEST(ShardTest, RefusesRanksLayersAndHeadsOutside) {
  constexpr int32_t kMost = std::numeric_limits<int32_t>::max();
  constexpr int32_t kLeast = std::numeric_limits<int32_t>::min();
  const Shard outside[] = {
      {1, 1, 0, 1, 0, 0, 0, 0},     {-1, 1, 0, 1, 0, 0, 0, 0},        {0, -1, 0, 1, 0, 0, 0, 0},
      {2, 2, 0, 1, 0, 0, 0, 0},     {0, 1, 1, 1, 0, 0, 0, 0},         {0, 1, 0, kLeast, 0, 0, 0, 0},
      {0, 1, 0, 1, 1, 3, 0, 0},     {0, 1, 0, 1, 1, 0, 0, 0},         {0, 1, 0, 1, -1, 1, 0, 0},
      {0, 1, 0, 1, 0, 4, 0, 0},     {0, 1, 0, 1, kMost, kMost, 0, 0}, {0, 1, 0, 1, 0, -1, 0, 0},
      {0, 1, 0, 1, 0, 0, 2, 1},     {0, 1, 0, 1, 0, 0, 0, 3},         {0, 1, 0, 1, 0, 0, -1, 1},
      {0, 1, 0, 1, 0, 0, kMost, 1},
  };
  for (const Shard& shard : outside) {
    const auto status = ResolveShard(shard, TestModel()).status();
    EXPECT_EQ(StatusReason(status), "BAD_SHARD") << status;
  }
}

TEST(VariantTest, IsExactForFullOnly) {
  CompactionSpec spec;
  EXPECT_EQ(VariantOf(spec), kExactVariant);
  spec.policy = Policy::kChunkKv;
  spec.keep_ratio = 1.0;
  EXPECT_NE(VariantOf(spec), kExactVariant);
}

}  // namespace
}  // namespace chunkkv
