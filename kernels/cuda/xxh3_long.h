#ifndef CHUNKKV_KERNELS_CUDA_XXH3_LONG_H_
#define CHUNKKV_KERNELS_CUDA_XXH3_LONG_H_

#include "kernels/cuda/xxh3.h"
#include "kernels/cuda/xxh3_load.h"

namespace chunkkv::cuda::xxh3 {

// XXH3-64 of more than 240 bytes by a warp, each byte read once.
//
// A message is stripes of 64 bytes, which add to eight accumulators; 16 stripes are a round, after which the
// accumulators are scrambled. Within a round the order of additions does not matter: a lane loads the same quarter of
// two stripes, whose words touch one pair of accumulators alone, and lanes add their sums up by shuffles. Of each
// accumulator four lanes have a copy. The last round, of 1 to 16 stripes, ends with the message's last 64 bytes, which
// may overlap the stripe before, have a secret of their own, and are not followed by a scramble.
template <typename Unit>
class LongMessage {
 public:
  // Address and length are multiples of a Unit.
  CHUNKKV_DEVICE LongMessage(const Tables& tables, const std::byte* message, int length)
      : tables_(tables), message_(message), length_(length), quarter_(simt::Lane() % kQuarters) {}

  CHUNKKV_DEVICE uint64_t Digest() const {
    const int accumulator = 2 * quarter_ + (IsSecond() ? 1 : 0);
    const uint64_t scramble_secret = tables_.Secret(kScrambleSecretOffset + 8 * accumulator);
    Chunk secrets[kChunksPerRound];
    CHUNKKV_UNROLL for (int i = 0; i < kChunksPerRound; ++i) secrets[i] = Secret(8 * Stripe(i));

    uint64_t sum = tables_.first_accumulator[accumulator];
    const int scrambled_rounds = (length_ - 1) / kRoundBytes;
    for (int round = 0; round < scrambled_rounds; round += kRoundsInFlight) {
      Chunk chunks[kRoundsInFlight][kChunksPerRound] = {};
      CHUNKKV_UNROLL for (int n = 0; n < kRoundsInFlight; ++n) {
        if (round + n >= scrambled_rounds) continue;
        CHUNKKV_UNROLL for (int i = 0; i < kChunksPerRound; ++i) {
          chunks[n][i] = Load((round + n) * kRoundBytes + Stripe(i) * kStripeBytes);
        }
      }
      CHUNKKV_UNROLL for (int n = 0; n < kRoundsInFlight; ++n) {
        if (round + n >= scrambled_rounds) continue;
        Chunk sums = {};
        CHUNKKV_UNROLL for (int i = 0; i < kChunksPerRound; ++i) Accumulate(chunks[n][i], secrets[i], sums);
        sum += SumOfLanes(sums);
        sum = (sum ^ (sum >> 47) ^ scramble_secret) * kPrime32_1;
      }
    }
    sum += SumOfLanes(SumsOfLastRound(scrambled_rounds * kRoundBytes));
    return Merge(sum, accumulator);
  }

 private:
  static constexpr int kStripeBytes = 64;
  static constexpr int kRoundBytes = 1024;
  static constexpr int kQuarters = 4;  // of a stripe: what a lane loads
  static constexpr int kStripesAtOnce = simt::kWarpSize / kQuarters;
  static constexpr int kChunksPerRound = kRoundBytes / kStripeBytes / kStripesAtOnce;
  static constexpr int kRoundsInFlight = sizeof(Unit) == 16 ? 5 : 1;  // a whole block has 15 that are scrambled
  static constexpr int kMergeSecretOffset = 11;
  static constexpr int kLastSecretOffset = 121;
  static constexpr int kScrambleSecretOffset = 128;

  // Whether the lane's accumulator is the second of its pair.
  CHUNKKV_DEVICE static bool IsSecond() { return simt::Lane() / kQuarters % 2 == 1; }

  // The lane's i-th stripe of a round.
  CHUNKKV_DEVICE static int Stripe(int i) { return i * kStripesAtOnce + simt::Lane() / kQuarters; }

  // The lane's quarter of the stripe that begins at byte `begin` of the message.
  CHUNKKV_DEVICE Chunk Load(int begin) const { return LoadChunk<Unit>(message_ + begin + 16 * quarter_); }

  // For the lane's quarter of a stripe whose secret begins at byte `offset`.
  CHUNKKV_DEVICE Chunk Secret(int offset) const {
    return {tables_.Secret(offset + 16 * quarter_), tables_.Secret(offset + 16 * quarter_ + 8)};
  }

  CHUNKKV_DEVICE static void Accumulate(const Chunk& chunk, const Chunk& secret, Chunk& sums) {
    CHUNKKV_UNROLL for (int i = 0; i < 2; ++i) {
      const uint64_t keyed = chunk.word[i] ^ secret.word[i];
      sums.word[i] += (keyed & 0xffffffff) * (keyed >> 32);
      sums.word[1 - i] += chunk.word[i];
    }
  }

  CHUNKKV_DEVICE Chunk SumsOfLastRound(int begin) const {
    const int last_stripe = (length_ - 1 - begin) / kStripeBytes;
    Chunk chunks[kChunksPerRound] = {};
    CHUNKKV_UNROLL for (int i = 0; i < kChunksPerRound; ++i) {
      const int stripe = Stripe(i);
      if (stripe > last_stripe) continue;
      chunks[i] = Load(stripe == last_stripe ? length_ - kStripeBytes : begin + stripe * kStripeBytes);
    }
    Chunk sums = {};
    CHUNKKV_UNROLL for (int i = 0; i < kChunksPerRound; ++i) {
      const int stripe = Stripe(i);
      if (stripe > last_stripe) continue;
      Accumulate(chunks[i], Secret(stripe == last_stripe ? kLastSecretOffset : 8 * stripe), sums);
    }
    return sums;
  }

  // Of a pair of sums in each lane, the one for the lane's own accumulator over all lanes.
  CHUNKKV_DEVICE static uint64_t SumOfLanes(const Chunk& sums) {
    const uint64_t first = sums.word[0];
    const uint64_t second = sums.word[1];
    uint64_t sum = IsSecond() ? second : first;
    sum += simt::ShuffleXor(IsSecond() ? first : second, kQuarters);
    sum += simt::ShuffleXor(sum, 2 * kQuarters);
    return sum + simt::ShuffleXor(sum, 4 * kQuarters);
  }

  CHUNKKV_DEVICE uint64_t Merge(uint64_t sum, int accumulator) const {
    const uint64_t keyed = sum ^ tables_.Secret(kMergeSecretOffset + 8 * accumulator);
    uint64_t hash = MultiplyAndFold(keyed, simt::ShuffleXor(keyed, kQuarters));
    hash += simt::ShuffleXor(hash, 1);
    hash += simt::ShuffleXor(hash, 2);
    return Avalanche(hash + static_cast<uint64_t>(length_) * kPrime64_1);
  }

  const Tables& tables_;
  const std::byte* message_;
  int length_;
  int quarter_;
};

}  // namespace chunkkv::cuda::xxh3

#endif  // CHUNKKV_KERNELS_CUDA_XXH3_LONG_H_
