#include "service/rpc/decoded_size.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "chunkkv/v1/catalog.pb.h"
#include "tests/support/raw_stream.h"

namespace chunkkv::rpc {
namespace {

constexpr int64_t kLimitBytes = 32 << 20;

int64_t SizeOf(const std::string& bytes) {
  return DecodedBytes(BufferOf(bytes), *v1::FindLongestPrefixRequest::descriptor(), kLimitBytes);
}

void ExpectNoLessThanItTakes(const v1::FindLongestPrefixRequest& request) {
  EXPECT_GE(SizeOf(request.SerializeAsString()), static_cast<int64_t>(request.SpaceUsedLong()) / 2);
}

TEST(DecodedSizeTest, CountsWhatMessagesTake) {
  v1::FindLongestPrefixRequest shards;
  shards.add_queries();
  for (int i = 0; i < 10'000; ++i) shards.mutable_queries(0)->add_shards();
  ExpectNoLessThanItTakes(shards);
  EXPECT_GT(SizeOf(shards.SerializeAsString()), 10'000 * 64);

  v1::FindLongestPrefixRequest queries;
  for (int i = 0; i < 10'000; ++i) queries.add_queries();
  ExpectNoLessThanItTakes(queries);

  v1::FindLongestPrefixRequest digests;
  for (int i = 0; i < 10'000; ++i) digests.add_required_features("");
  digests.add_queries()->mutable_prompt()->add_block_digests(std::string(100'000, 'd'));
  ExpectNoLessThanItTakes(digests);

  v1::FindLongestPrefixRequest names;
  auto& extra = *names.add_queries()->mutable_model()->mutable_extra();
  for (int i = 0; i < 1000; ++i) extra[std::to_string(i)] = "";
  // libprotobuf's reflection cannot be asked under ThreadSanitizer, where headers give maps another layout.
  EXPECT_GE(SizeOf(names.SerializeAsString()), 1000 * 2 * static_cast<int64_t>(sizeof(std::string)));

  v1::FindLongestPrefixRequest tokens;
  auto& prompt = *tokens.add_queries()->mutable_prompt();
  for (int i = 0; i < 100'000; ++i) prompt.add_tokens(1);
  ExpectNoLessThanItTakes(tokens);
}

TEST(DecodedSizeTest, TakesEveryPromptThatAMessageHolds) {
  v1::FindLongestPrefixRequest tokens;
  tokens.add_queries()->mutable_prompt()->mutable_tokens()->Resize((8 << 20) - 1024, 1);
  EXPECT_LE(SizeOf(tokens.SerializeAsString()), kLimitBytes);
  v1::FindLongestPrefixRequest digests;
  for (int i = 0; i < (8 << 20) / 35; ++i) {
    if (i == 0) digests.add_queries();
    digests.mutable_queries(0)->mutable_prompt()->add_block_digests(std::string(32, 'd'));
  }
  EXPECT_LE(SizeOf(digests.SerializeAsString()), kLimitBytes);
}

TEST(DecodedSizeTest, UnknownFieldsCount) {
  std::string bytes;
  for (int i = 0; i < 10'000; ++i) bytes += std::string("\x78\x01\x7a\x00", 4);  // fields 15: a number, a string
  v1::FindLongestPrefixRequest request;
  ASSERT_TRUE(request.ParseFromString(bytes));
  ExpectNoLessThanItTakes(request);
}

TEST(DecodedSizeTest, StopsAtTheLimit) {
  v1::FindLongestPrefixRequest request;
  for (int i = 0; i < 10'000; ++i) request.add_queries();
  const int64_t size_bytes =
      DecodedBytes(BufferOf(request.SerializeAsString()), *v1::FindLongestPrefixRequest::descriptor(), 1000);
  EXPECT_GT(size_bytes, 1000);
  EXPECT_LT(size_bytes, 2000);
}

TEST(DecodedSizeTest, SurvivesAnyBytes) {
  EXPECT_EQ(DecodedBytes(grpc::ByteBuffer(), *v1::FindLongestPrefixRequest::descriptor(), 1000), 0);
  std::mt19937 random(1);
  v1::FindLongestPrefixRequest request;
  request.add_queries()->mutable_model()->add_adapters()->set_name("adapter");
  request.mutable_queries(0)->mutable_prompt()->add_tokens(300);
  const std::string whole = request.SerializeAsString();
  for (int i = 0; i < 10'000; ++i) {
    std::string bytes = whole.substr(0, 1 + random() % whole.size());
    bytes[random() % bytes.size()] = static_cast<char>(random());
    SizeOf(bytes);
  }
}

}  // namespace
}  // namespace chunkkv::rpc
