#include "service/format/digest.h"

#include <utility>

#include "gtest/gtest.h"

namespace chunkkv {
namespace {

std::vector<std::byte> Pattern(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 31 + (i >> 8));
  return bytes;
}

TEST(TensorDigesterTest, GivesTheSameWhateverThePieces) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{1023}, kDigestBlockBytes - 1, kDigestBlockBytes,
                            kDigestBlockBytes + 1, 3 * kDigestBlockBytes + 17}) {
    const std::vector<std::byte> bytes = Pattern(size);
    const Bytes16 whole = DigestTensor(bytes);
    for (const size_t piece :
         {size_t{1}, size_t{7}, size_t{4096}, kDigestBlockBytes - 1, kDigestBlockBytes, 2 * kDigestBlockBytes + 5}) {
      TensorDigester digester;
      for (size_t at = 0; at < size; at += piece) digester.Update(absl::MakeConstSpan(bytes).subspan(at, piece));
      EXPECT_EQ(digester.Finish(), whole) << size << " in pieces of " << piece;
    }
  }
}

TEST(TensorDigesterTest, BeginsAgainAfterFinish) {
  TensorDigester digester;
  digester.Update(Pattern(100));
  digester.Finish();
  digester.Update(Pattern(20000));
  EXPECT_EQ(digester.Finish(), DigestTensor(Pattern(20000)));
}

TEST(TensorDigesterTest, CarriesItsStateWhenMoved) {
  const std::vector<std::byte> bytes = Pattern(20000);
  TensorDigester first;
  first.Update(absl::MakeConstSpan(bytes).subspan(0, 12345));
  TensorDigester second(std::move(first));
  TensorDigester third;
  third.Update(Pattern(5));
  third = std::move(second);
  third.Update(absl::MakeConstSpan(bytes).subspan(12345));
  EXPECT_EQ(third.Finish(), DigestTensor(bytes));
}

TEST(TensorDigesterTest, SeesEverySingleBit) {
  std::vector<std::byte> bytes = Pattern(kDigestBlockBytes + 100);
  const Bytes16 before = DigestTensor(bytes);
  for (size_t at = 0; at < bytes.size(); at += 97) {
    bytes[at] ^= std::byte{0x10};
    EXPECT_NE(DigestTensor(bytes), before) << at;
    bytes[at] ^= std::byte{0x10};
  }
}

TEST(PartDigesterTest, EqualsTheChecksumOfTheWholePart) {
  const std::vector<std::byte> bytes = Pattern(100003);
  PartDigester digester;
  for (size_t at = 0; at < bytes.size(); at += 999) digester.Update(absl::MakeConstSpan(bytes).subspan(at, 999));
  EXPECT_EQ(digester.Finish(), PartChecksum(bytes));
  EXPECT_EQ(digester.Finish(), PartChecksum({}));
}

TEST(CombineDigestsTest, DependsOnTheOrder) {
  const Bytes16 first{1};
  const Bytes16 second{2};
  EXPECT_NE(CombineDigests({first, second}), CombineDigests({second, first}));
  // XXH3-128 of no bytes, canonical, as the xxhash package gives it.
  EXPECT_EQ(ToHex(CombineDigests({})), "99aa06d3014798d86001c324468d497f");
}

}  // namespace
}  // namespace chunkkv
