// Keys, fingerprints, variants and digests against the vectors of tests/golden, which come from other code.
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "service/format/digest.h"
#include "service/format/identity.h"
#include "service/format/prompt_key.h"

namespace chunkkv {
namespace {

using nlohmann::json;

json Vectors(const std::string& file) {
  std::ifstream stream(std::string(CHUNKKV_SOURCE_DIR "/tests/golden/") + file);
  json vectors = json::parse(stream, nullptr, false)["vectors"];
  EXPECT_FALSE(vectors.empty()) << file;
  return vectors;
}

ModelIdentity ModelOf(const json& object) {
  ModelIdentity model;
  model.name = object["name"];
  model.revision = object["revision"];
  model.kv_dtype = object["kv_dtype"];
  model.quantization = object.value("quantization", "");
  model.rope = object.value("rope", "");
  model.layer_count = object["layer_count"];
  model.kv_head_count = object["kv_head_count"];
  model.key_head_size = object["key_head_size"];
  model.value_head_size = object.value("value_head_size", 0);
  model.extra = object.value("extra", model.extra);
  for (const json& adapter : object.value("adapters", json::array())) {
    model.adapters.push_back({adapter["name"], adapter["revision"]});
  }
  return model;
}

template <typename T>
void Take(const json& object, const char* name, std::optional<T>* value) {
  if (object.contains(name)) *value = object[name].get<T>();
}

CompactionSpec SpecOf(const json& object) {
  CompactionSpec spec;
  spec.policy = PolicyFromName(object["policy"].get<std::string>()).value();
  Take(object, "keep_ratio", &spec.keep_ratio);
  Take(object, "max_tokens", &spec.max_tokens);
  Take(object, "chunk_length", &spec.chunk_length);
  Take(object, "window_length", &spec.window_length);
  Take(object, "reuse_group", &spec.reuse_group);
  Take(object, "sink_tokens", &spec.sink_tokens);
  Take(object, "pool", &spec.pool);
  Take(object, "recent_ratio", &spec.recent_ratio);
  Take(object, "budget_multiple", &spec.budget_multiple);
  Take(object, "min_retained_mass", &spec.min_retained_mass);
  Take(object, "max_raised_tokens", &spec.max_raised_tokens);
  if (object.contains("group_score")) spec.group_score = GroupScoreFromName(object["group_score"].get<std::string>());
  if (object.contains("chunk_reduce")) {
    spec.chunk_reduce = ChunkReduceFromName(object["chunk_reduce"].get<std::string>());
  }
  if (object.contains("on_low_mass")) spec.on_low_mass = OnLowMassFromName(object["on_low_mass"].get<std::string>());
  spec.chunk_starts = object.value("chunk_starts", spec.chunk_starts);
  for (const json& group : object.value("groups", json::array())) {
    spec.groups.push_back({group["first_layer"], group["layer_count"], group.value("leader", -1)});
  }
  spec.profile = object.value("profile", "");
  spec.label = object.value("label", "");
  return spec;
}

TEST(GoldenFingerprintTest, EqualsEveryVector) {
  for (const json& vector : Vectors("identity/fingerprints.json")) {
    const ModelIdentity model = ModelOf(vector["model"]);
    EXPECT_TRUE(ValidateModelIdentity(model).ok()) << vector["name"];
    EXPECT_EQ(CanonicalText(model), vector["canonical_text"].get<std::string>()) << vector["name"];
    EXPECT_EQ(ToHex(Fingerprint(model)), vector["fingerprint"].get<std::string>()) << vector["name"];
    const auto read = ModelIdentityFromCanonicalText(vector["canonical_text"].get<std::string>());
    ASSERT_TRUE(read.ok()) << read.status() << vector["name"];
    EXPECT_EQ(*read, model);
  }
}

TEST(GoldenVariantTest, EqualsEveryVector) {
  std::map<std::string, std::string> variants;
  for (const json& vector : Vectors("identity/variants.json")) {
    const CompactionSpec spec = SpecOf(vector["spec"]);
    EXPECT_EQ(CanonicalText(spec), vector["canonical_text"].get<std::string>()) << vector["name"];
    EXPECT_EQ(ToHex(VariantOf(spec)), vector["variant"].get<std::string>()) << vector["name"];
    variants[vector["name"].get<std::string>()] = ToHex(VariantOf(spec));
  }
  EXPECT_EQ(variants["chunk_kv"], variants["chunk_kv_defaults_stated"]);
  EXPECT_EQ(variants["chunk_kv_given_chunks"], variants["chunk_kv_other_given_chunks"]);
  EXPECT_NE(variants["chunk_kv"], variants["chunk_kv_given_chunks"]);
  EXPECT_NE(variants["chunk_kv"], variants["chunk_kv_neighbour_ratio"]);
}

TEST(GoldenKeyTest, EqualsEveryVector) {
  for (const json& vector : Vectors("identity/keys.json")) {
    const auto tokens = vector["tokens"].get<std::vector<uint32_t>>();
    std::vector<std::string> extra;
    for (const json& item : vector["extra"]) extra.push_back(FromHex(item.get<std::string>()).value());
    const PromptDigests prompt = DigestPrompt(tokens, extra);
    EXPECT_EQ(prompt.token_count, static_cast<int64_t>(tokens.size()));
    EXPECT_EQ(prompt.block_size, kDefaultBlockSize);
    std::vector<std::string> digests;
    for (const Bytes32& digest : prompt.digests) digests.push_back(ToHex(digest));
    EXPECT_EQ(digests, vector["digests"].get<std::vector<std::string>>()) << vector["name"];
    EXPECT_EQ(digests.back(), vector["key"].get<std::string>()) << vector["name"];
  }
}

TEST(GoldenDigestTest, EqualsEveryVector) {
  for (const json& vector : Vectors("digest/digests.json")) {
    std::vector<std::byte> bytes(vector["size"].get<size_t>());
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 131 + 7);
    EXPECT_EQ(ToHex(DigestTensor(bytes)), vector["digest"].get<std::string>()) << bytes.size();
    for (size_t block = 0; block < vector["block_xxh3_64"].size(); ++block) {
      const auto expected = std::stoull(vector["block_xxh3_64"][block].get<std::string>(), nullptr, 16);
      EXPECT_EQ(PartChecksum(absl::MakeConstSpan(bytes).subspan(block * kDigestBlockBytes, kDigestBlockBytes)),
                expected);
    }
  }
}

}  // namespace
}  // namespace chunkkv
