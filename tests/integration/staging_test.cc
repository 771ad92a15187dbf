// LAYER_MAJOR puts stage a few layers whatever the prompt.
#include <gtest/gtest.h>

#include "tests/support/get_client.h"
#include "tests/support/put_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {
namespace {

TEST(StagingTest, StagesAtMostFourLayers) {
  ServerOptions options = SmallServer();
  options.store.host_budget_bytes = int64_t{24} << 20;  // the whole prompt would not fit
  TestServer server(options);
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, 32)};
  request.layout[0].attention->key_head_size = 64;
  request.layout[0].attention->value_head_size = 64;
  request.model.layer_count = request.shard.layer_count = 32;
  request.model.key_head_size = request.model.value_head_size = 64;
  request.token_count = 1024;
  request.spec = CompactionSpec();
  request.spec.policy = Policy::kChunkKv;
  request.spec.keep_ratio = 0.1;
  const int64_t layer_bytes = 1024 * 2 * 2 * 64 * 4;
  ASSERT_GT(32 * layer_bytes, options.store.host_budget_bytes);
  const Prompt prompt = MakePrompt(request);
  const PutResult put = PutAll(server.channel(), request, prompt, 512);
  ASSERT_TRUE(put.committed.has_value()) << put.end;
  EXPECT_EQ(put.committed->received_bytes() / (32 * layer_bytes), 1);
  EXPECT_GT(put.committed->peak_staging_bytes(), 0);
  EXPECT_LE(put.committed->peak_staging_bytes(), 4 * layer_bytes);
  ExpectServed(GetAll(server.channel(), GetRequestOf(request)), request, prompt,
               ReferenceKept(request, prompt).positions);
  server.ExpectAtRest();
}

}  // namespace
}  // namespace chunkkv
