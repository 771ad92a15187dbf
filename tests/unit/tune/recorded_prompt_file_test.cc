#include "client/tune/recorded_prompt_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "chunkkv/kernels/status.h"

namespace chunkkv::tune {
namespace {

class RecordedPromptFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "chunkkv_recorded_XXXXXX";
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // What reading a file of these tensors, without bytes but their own zeros, and this metadata says.
  std::string ReasonOf(const std::vector<SafetensorsTensor>& tensors, std::map<std::string, std::string> metadata) {
    metadata.insert({{"format", "chunkkv.recorded_prompt"}, {"format_version", "1"}, {"token_count", "4"}});
    int64_t size_bytes = 0;
    for (const SafetensorsTensor& tensor : tensors) size_bytes += tensor.size_bytes;
    std::ofstream(folder_ + "/a", std::ios::binary)
        << EncodeSafetensorsHead(tensors, metadata) << std::string(size_bytes, '\0');
    return StatusReason(ReadRecordedPrompt(folder_ + "/a").status());
  }

  std::string folder_;
};

TEST_F(RecordedPromptFileTest, ReadsBackWhatWasWritten) {
  RecordedPromptFile file;
  file.prompt = {.token_count = 5, .chunk_starts = {0, 2}, .scores = {{1, 2, 3}, {4, 5, 6}}};
  file.layers = {1, 10};
  file.model = ModelIdentity{.name = "m",
                             .revision = "r",
                             .adapters = {},
                             .kv_dtype = "f32",
                             .quantization = "",
                             .rope = "",
                             .layer_count = 11,
                             .kv_head_count = 1,
                             .key_head_size = 2,
                             .value_head_size = 2,
                             .extra = {}};
  ASSERT_TRUE(WriteRecordedPrompt(folder_ + "/a", file).ok());
  const absl::StatusOr<RecordedPromptFile> read = ReadRecordedPrompt(folder_ + "/a");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->prompt.token_count, 5);
  EXPECT_EQ(read->prompt.chunk_starts, file.prompt.chunk_starts);
  EXPECT_EQ(read->prompt.scores, file.prompt.scores);
  EXPECT_EQ(read->layers, file.layers);
  EXPECT_EQ(read->model, file.model);
}

TEST_F(RecordedPromptFileTest, ChunksAndModelMayBeAbsent) {
  ASSERT_TRUE(WriteRecordedPrompt(folder_ + "/a", {.prompt = {2, {}, {{}}}, .layers = {0}, .model = {}}).ok());
  const absl::StatusOr<RecordedPromptFile> read = ReadRecordedPrompt(folder_ + "/a");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->prompt.scores, (std::vector<std::vector<float>>{{}}));
  EXPECT_FALSE(read->model.has_value());
}

TEST_F(RecordedPromptFileTest, WhatIsWrongIsRefused) {
  const SafetensorsTensor scores{"layers.0.scores", "F32", {2}, 0, 8};
  EXPECT_EQ(ReasonOf({scores}, {}), "");
  EXPECT_EQ(ReasonOf({}, {}), "BAD_RECORDED_PROMPT");
  EXPECT_EQ(ReasonOf({{"layers.0.scores", "F16", {4}, 0, 8}}, {}), "BAD_RECORDED_PROMPT");
  EXPECT_EQ(ReasonOf({{"layers.0.scores", "F32", {1, 2}, 0, 8}}, {}), "BAD_RECORDED_PROMPT");
  for (const char* name : {"layers.00.scores", "layers.1024.scores", "layers..scores", "layers.0.k", "scores"}) {
    EXPECT_EQ(ReasonOf({{name, "F32", {2}, 0, 8}}, {}), "BAD_RECORDED_PROMPT") << name;
  }
  EXPECT_EQ(ReasonOf({scores, {"chunk_starts", "F32", {1}, 8, 4}}, {}), "BAD_RECORDED_PROMPT");
  EXPECT_EQ(ReasonOf({scores}, {{"format", "chunkkv.record"}}), "BAD_RECORDED_PROMPT");
  EXPECT_EQ(ReasonOf({scores}, {{"format_version", "2"}}), "RECORDED_PROMPT_NEWER");
  EXPECT_EQ(ReasonOf({scores}, {{"format_version", "1x"}}), "BAD_RECORDED_PROMPT");
  EXPECT_EQ(ReasonOf({scores}, {{"token_count", "0"}}), "BAD_RECORDED_PROMPT");
  EXPECT_EQ(ReasonOf({scores}, {{"model", "{}"}}), "BAD_CANONICAL_TEXT");
}

}  // namespace
}  // namespace chunkkv::tune
