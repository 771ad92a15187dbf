#include "client/cpp/part_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "chunkkv/v1/get.pb.h"
#include "chunkkv/v1/put.pb.h"
#include "service/format/digest.h"

namespace chunkkv::client {
namespace {

v1::Part ToyPart() {
  v1::Part part;
  part.set_layer(7);
  part.set_tensor(v1::TENSOR_KIND_VALUES);
  part.set_range(v1::RANGE_KIND_TOKENS);
  part.set_begin(100);
  part.set_end(int64_t{1} << 33);
  return part;
}

std::string Payload(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31);
  return bytes;
}

absl::Span<const std::byte> AsBytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Cuts `text` so that slices end in the middle of everything.
std::vector<grpc::Slice> Sliced(const std::string& text, size_t slice_size) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < text.size(); at += slice_size) {
    const size_t size = std::min(slice_size, text.size() - at);
    slices.emplace_back(text.data() + at, size);
  }
  return slices;
}

TEST(PartCodecTest, EncodesWhatProtobufParses) {
  for (const size_t size : {1, 127, 128, 16383, 16384, 1 << 20}) {
    const std::string payload = Payload(size);
    const std::string message = EncodePartHead(ToyPart(), 0x1122334455667788, size) + payload;
    v1::PutCacheRequest parsed;
    ASSERT_TRUE(parsed.ParseFromString(message));
    EXPECT_EQ(parsed.part().layer(), 7);
    EXPECT_EQ(parsed.part().end(), int64_t{1} << 33);
    EXPECT_EQ(parsed.part().payload().checksum(), 0x1122334455667788u);
    EXPECT_EQ(parsed.part().payload().inline_(), payload);
  }
}

TEST(PartCodecTest, DecodesWhatProtobufEncodes) {
  for (const size_t slice_size : {1, 3, 50, 1000, 1 << 20}) {
    const std::string payload = Payload(4000);
    v1::GetCacheResponse message;
    *message.mutable_part() = ToyPart();
    message.mutable_part()->set_name("state");
    message.mutable_part()->mutable_payload()->set_checksum(PartChecksum(AsBytes(payload)));
    message.mutable_part()->mutable_payload()->set_inline_(payload);
    const std::vector<grpc::Slice> slices = Sliced(message.SerializeAsString(), slice_size);
    const std::optional<ReceivedPart> received = DecodePartHead(slices);
    ASSERT_TRUE(received.has_value());
    EXPECT_EQ(received->part.layer(), 7);
    EXPECT_EQ(received->part.name(), "state");
    ASSERT_EQ(received->payload_bytes, payload.size());
    std::string copy(payload.size(), '\0');
    const uint64_t checksum =
        CopyPayload(slices, received->payload_offset, {reinterpret_cast<std::byte*>(copy.data()), copy.size()});
    EXPECT_EQ(copy, payload);
    EXPECT_EQ(checksum, received->part.payload().checksum());
  }
}

TEST(PartCodecTest, RefusesHeadsThatDoNotAddUp) {
  const std::string payload = Payload(100);
  const std::string message = EncodePartHead(ToyPart(), 1, payload.size()) + payload;
  ASSERT_TRUE(DecodePartHead(Sliced(message, 64)).has_value());
  for (size_t cut = 0; cut < message.size(); ++cut) {
    EXPECT_FALSE(DecodePartHead(Sliced(message.substr(0, cut), 64)).has_value()) << cut;
  }
  EXPECT_FALSE(DecodePartHead(Sliced(message + "x", 64)).has_value());
  v1::GetCacheResponse other;
  other.mutable_layer_end()->set_layer(1);
  EXPECT_FALSE(DecodePartHead(Sliced(other.SerializeAsString(), 64)).has_value());
}

}  // namespace
}  // namespace chunkkv::client
