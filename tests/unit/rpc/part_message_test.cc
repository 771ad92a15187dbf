#include "service/rpc/part_message.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "chunkkv/v1/get.pb.h"
#include "service/format/digest.h"

namespace chunkkv::rpc {
namespace {

v1::PutCacheRequest SomePart(const std::string& bytes) {
  v1::PutCacheRequest message;
  v1::Part* part = message.mutable_part();
  part->set_layer(3);
  part->set_tensor(v1::TENSOR_KIND_NAMED);
  part->set_name("state");
  part->set_range(v1::RANGE_KIND_BYTES);
  part->set_begin(5);
  part->set_end(1'000'000'000'000);
  part->mutable_payload()->set_checksum(0x0123456789abcdef);
  part->mutable_payload()->set_inline_(bytes);
  return message;
}

// `bytes` as the transport may hand them over: in slices of at most `slice_bytes`.
grpc::ByteBuffer Sliced(const std::string& bytes, size_t slice_bytes) {
  std::vector<grpc::Slice> slices;
  for (size_t begin = 0; begin < bytes.size(); begin += slice_bytes)
    slices.emplace_back(bytes.substr(begin, slice_bytes));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

std::string InlineOf(const PutMessage& message) {
  const MessageRange& range = *message.part->inline_bytes;
  std::string bytes(range.size_bytes, '\0');
  std::vector<absl::Span<std::byte>> pieces = {
      absl::MakeSpan(reinterpret_cast<std::byte*>(bytes.data()), bytes.size())};
  const uint64_t checksum = CopyToPieces(message.slices, range, pieces);
  EXPECT_EQ(checksum, PartChecksum(pieces[0]));
  return bytes;
}

std::string Counting(size_t count) {
  std::string bytes(count, '\0');
  std::iota(bytes.begin(), bytes.end(), 0);
  return bytes;
}

TEST(PartMessageTest, FindsThePayloadWhereverSlicesEnd) {
  const v1::PutCacheRequest sent = SomePart(Counting(300));
  const std::string bytes = sent.SerializeAsString();
  for (size_t slice_bytes = 1; slice_bytes <= bytes.size(); ++slice_bytes) {
    const auto message = ParsePutMessage(Sliced(bytes, slice_bytes));
    ASSERT_TRUE(message.ok()) << message.status();
    ASSERT_TRUE(message->part.has_value());
    const v1::Part& part = message->part->part;
    EXPECT_EQ(part.layer(), 3);
    EXPECT_EQ(part.name(), "state");
    EXPECT_EQ(part.end(), 1'000'000'000'000);
    EXPECT_EQ(part.payload().checksum(), 0x0123456789abcdef);
    ASSERT_EQ(InlineOf(*message), sent.part().payload().inline_());
  }
}

TEST(PartMessageTest, TakesFieldsInAnyOrder) {
  // The payload first, its bytes before its checksum, fields of the part on both sides of it, and unknown ones.
  const std::string inner = std::string("\x7a\x03") + "abc" + std::string("\x09\x01\0\0\0\0\0\0\0", 9);
  const std::string part = std::string("\x08\x02") + "\x7a" + static_cast<char>(inner.size()) + inner + "\x10\x01" +
                           std::string("\x9d\x06zzzz") + "\x20\x01";
  const std::string bytes = std::string("\xf8\x07\x01") + "\x7a" + static_cast<char>(part.size()) + part;
  const auto message = ParsePutMessage(Sliced(bytes, 5));
  ASSERT_TRUE(message.ok()) << message.status();
  ASSERT_TRUE(message->part.has_value());
  EXPECT_EQ(message->part->part.layer(), 2);
  EXPECT_EQ(message->part->part.tensor(), v1::TENSOR_KIND_KEYS);
  EXPECT_EQ(message->part->part.range(), v1::RANGE_KIND_TOKENS);
  EXPECT_EQ(message->part->part.payload().checksum(), 1u);
  EXPECT_EQ(InlineOf(*message), "abc");
}

TEST(PartMessageTest, MergesRepeatedFieldsAsProtobufDoes) {
  v1::PutCacheRequest first = SomePart("first");
  v1::PutCacheRequest second;
  second.mutable_part()->set_layer(9);
  second.mutable_part()->mutable_payload()->set_inline_("second");
  const std::string bytes = first.SerializeAsString() + second.SerializeAsString();
  v1::PutCacheRequest expected;
  ASSERT_TRUE(expected.ParseFromString(bytes));
  const auto message = ParsePutMessage(Sliced(bytes, 7));
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->part->part.layer(), expected.part().layer());
  EXPECT_EQ(message->part->part.name(), expected.part().name());
  EXPECT_EQ(InlineOf(*message), expected.part().payload().inline_());
}

TEST(PartMessageTest, TellsAnEmptyPayloadFromNone) {
  v1::PutCacheRequest none = SomePart("");
  none.mutable_part()->mutable_payload()->clear_carrier();
  const auto without = ParsePutMessage(Sliced(none.SerializeAsString(), 1000));
  ASSERT_TRUE(without.ok());
  EXPECT_FALSE(without->part->inline_bytes.has_value());
  const auto with = ParsePutMessage(Sliced(SomePart("").SerializeAsString(), 1000));
  ASSERT_TRUE(with.ok());
  ASSERT_TRUE(with->part->inline_bytes.has_value());
  EXPECT_EQ(with->part->inline_bytes->size_bytes, 0);
}

TEST(PartMessageTest, ParsesOtherMessagesWhole) {
  v1::PutCacheRequest commit;
  commit.mutable_commit()->set_content_digest("digest");
  const auto message = ParsePutMessage(Sliced(commit.SerializeAsString(), 2));
  ASSERT_TRUE(message.ok());
  EXPECT_FALSE(message->part.has_value());
  EXPECT_EQ(message->other.commit().content_digest(), "digest");
  const auto empty = ParsePutMessage(Sliced("", 1));
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(empty->other.message_case(), v1::PutCacheRequest::MESSAGE_NOT_SET);
}

TEST(PartMessageTest, RefusesTwoMessagesInOne) {
  v1::PutCacheRequest commit;
  commit.mutable_commit();
  const auto message = ParsePutMessage(Sliced(SomePart("abc").SerializeAsString() + commit.SerializeAsString(), 100));
  EXPECT_EQ(StatusReason(message.status()), "MALFORMED_MESSAGE");
}

TEST(PartMessageTest, RefusesEveryTruncation) {
  const std::string bytes = SomePart(Counting(40)).SerializeAsString();
  for (size_t size = 1; size < bytes.size(); ++size) {
    const auto message = ParsePutMessage(Sliced(bytes.substr(0, size), 3));
    EXPECT_EQ(StatusReason(message.status()), "MALFORMED_MESSAGE") << size;
  }
}

TEST(PartMessageTest, AgreesWithProtobufOnMutatedMessages) {
  std::mt19937 random(1);
  const std::string good = SomePart(Counting(60)).SerializeAsString();
  int both_parse = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    for (int change = 0; change < 1 + i % 3; ++change) bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto message = ParsePutMessage(Sliced(bytes, 1 + random() % 20));
    if (!message.ok() || !message->part) continue;
    // What is taken for a part is one for protobuf too, and the same one.
    v1::PutCacheRequest expected;
    ASSERT_TRUE(expected.ParseFromString(bytes));
    ++both_parse;
    ASSERT_TRUE(expected.has_part());
    EXPECT_EQ(expected.part().layer(), message->part->part.layer());
    EXPECT_EQ(expected.part().end(), message->part->part.end());
    if (expected.part().payload().carrier_case() == v1::TensorPayload::kInline) {
      EXPECT_EQ(InlineOf(*message), expected.part().payload().inline_());
    }
  }
  EXPECT_GT(both_parse, 1000);
}

TEST(PartMessageTest, CopiesIntoScatteredPieces) {
  const std::string bytes = Counting(200);
  const auto message = ParsePutMessage(Sliced(SomePart(bytes).SerializeAsString(), 33));
  ASSERT_TRUE(message.ok());
  std::vector<std::byte> memory(200);
  std::vector<absl::Span<std::byte>> pieces;
  // Pieces of 0, 1, 2, ... bytes, from the last place to the first.
  size_t left = 200;
  for (size_t size = 0; left > 0; ++size) {
    const size_t count = std::min(size, left);
    left -= count;
    pieces.push_back(absl::MakeSpan(memory).subspan(left, count));
  }
  CopyToPieces(message->slices, *message->part->inline_bytes, pieces);
  std::string gathered;
  for (const auto& piece : pieces) gathered.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  EXPECT_EQ(gathered, bytes);
}

TEST(PartMessageTest, MakesWhatProtobufParses) {
  for (const size_t size : {0, 1, 127, 128, 16383, 16384, 70000}) {
    const std::string bytes = Counting(size);
    v1::Part part = SomePart("").part();
    part.clear_payload();
    const grpc::ByteBuffer buffer = MakePartResponse(part, 42, grpc::Slice(bytes));
    std::vector<grpc::Slice> slices;
    ASSERT_TRUE(buffer.Dump(&slices).ok());
    std::string wire;
    for (const grpc::Slice& slice : slices) wire.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    v1::GetCacheResponse response;
    ASSERT_TRUE(response.ParseFromString(wire)) << size;
    EXPECT_EQ(response.part().layer(), 3);
    EXPECT_EQ(response.part().payload().checksum(), 42u);
    EXPECT_EQ(response.part().payload().inline_(), bytes);
  }
}

}  // namespace
}  // namespace chunkkv::rpc
