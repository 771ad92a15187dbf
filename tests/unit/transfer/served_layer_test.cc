#include "service/transfer/served_layer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>

#include "chunkkv/kernels/status.h"
#include "service/format/digest.h"
#include "tests/unit/session/put_driver.h"

namespace chunkkv {
namespace {

RopeShape SmallRope(bool interleaved = false) {
  RopeShape rope;
  rope.first_dim = 2;
  rope.rotary_dims = 4;
  rope.interleaved = interleaved;
  rope.inv_freq = {1.0, 0.01};
  return rope;
}

struct Stored {
  PutRequest request;
  Prompt prompt;
  EntryPtr entry;
  const EntryHeader& header() const { return entry->header(); }
};

Stored Store(PutRequest request) {
  Stored stored;
  stored.prompt = MakePrompt(request);
  PutDriver driver;
  EXPECT_TRUE(driver.Put(request, stored.prompt).ok());
  // The bytes without the store, which ends here.
  stored.entry = driver.listener().summary().entry;
  const absl::Span<const std::byte> body = stored.entry->body();
  static MemoryBudget budget(1 << 30);  // outlives every entry made from it
  BudgetShare share;
  EXPECT_TRUE(budget.TryReserve(Buffer::ChargedBytes(body.size()), &share));
  Buffer copy = Buffer::Allocate(body.size(), std::move(share)).value();
  std::memcpy(copy.data(), body.data(), body.size());
  stored.entry = std::make_shared<const Entry>(stored.entry->identity(), stored.entry->header(), std::move(copy));
  stored.request = request;
  return stored;
}

PutRequest WithRope(Policy policy, bool interleaved = false) {
  PutRequest request = SmallRequest();
  AttentionRun attention = SmallAttention();
  attention.rope = SmallRope(interleaved);
  request.layout = {AttentionLayers(0, 3, attention)};
  request.spec.policy = policy;
  if (policy == Policy::kFull) request.spec.max_tokens.reset();
  return request;
}

const auto kCompactor = MakeReferenceCompactor();

ServeOptions Contiguous() {
  ServeOptions options;
  options.position_mode = PositionMode::kContiguous;
  return options;
}

TEST(ServedLayerTest, IsAViewOfTheStoredRows) {
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, 3), VerbatimLayers(3, 1)};
  const Stored stored = Store(request);
  for (int32_t layer = 0; layer < 4; ++layer) {
    const auto served = ServeLayer(stored.header(), stored.entry->body(), layer, ServeOptions(), *kCompactor);
    ASSERT_TRUE(served.ok());
    ASSERT_EQ(served->tensors.size(), 2u);
    EXPECT_TRUE(served->scratch.empty());
    for (const ServedTensor& tensor : served->tensors) {
      EXPECT_EQ(tensor.bytes.data(), stored.entry->body().data() + tensor.slot->offset);
      EXPECT_EQ(static_cast<int64_t>(tensor.bytes.size()), tensor.slot->size_bytes);
      EXPECT_EQ(tensor.digest, tensor.slot->digest);
      EXPECT_EQ(tensor.row_count, layer < 3 ? 40 : 0);
    }
  }
  EXPECT_EQ(StatusReason(ServeLayer(stored.header(), stored.entry->body(), 4, ServeOptions(), *kCompactor).status()),
            "LAYER_RANGE");
}

TEST(ServedLayerTest, ServesATokenRangeOfFullEntries) {
  const Stored stored = Store(WithRope(Policy::kFull));
  ServeOptions options;
  options.first_token = 5;
  options.token_count = 20;
  ASSERT_TRUE(CheckServeOptions(stored.header(), options).ok());
  const auto served = ServeLayer(stored.header(), stored.entry->body(), 1, options, *kCompactor);
  ASSERT_TRUE(served.ok());
  for (size_t i = 0; i < 2; ++i) {
    const ServedTensor& tensor = served->tensors[i];
    EXPECT_EQ(tensor.first_row, 5);
    EXPECT_EQ(tensor.row_count, 20);
    const int64_t row_bytes = tensor.slot->spec.row_bytes;
    ASSERT_EQ(static_cast<int64_t>(tensor.bytes.size()), 20 * row_bytes);
    EXPECT_EQ(std::memcmp(tensor.bytes.data(), stored.prompt[1].tensors[i].data() + 5 * row_bytes, 20 * row_bytes), 0);
    EXPECT_EQ(tensor.digest, DigestTensor(tensor.bytes));
  }
}

TEST(ServedLayerTest, RotatesKeysToContiguousPositions) {
  for (const bool interleaved : {false, true}) {
    const Stored stored = Store(WithRope(Policy::kChunkKv, interleaved));
    ASSERT_TRUE(CheckServeOptions(stored.header(), Contiguous()).ok());
    for (int32_t layer = 0; layer < 3; ++layer) {
      const auto served = ServeLayer(stored.header(), stored.entry->body(), layer, Contiguous(), *kCompactor);
      ASSERT_TRUE(served.ok());
      const ServedTensor& keys = served->tensors[0];
      EXPECT_EQ(keys.digest, DigestTensor(keys.bytes));
      const std::vector<int32_t>& positions = stored.header().positions[layer];
      const auto* const source = reinterpret_cast<const float*>(stored.entry->TensorBytes(*keys.slot).data());
      const auto* const rotated = reinterpret_cast<const float*>(keys.bytes.data());
      for (int64_t row = 0; row < 40; ++row) {
        for (int64_t head = 0; head < 2; ++head) {
          const int64_t at = (row * 2 + head) * 8;
          for (int pair = 0; pair < 2; ++pair) {
            const int first = 2 + (interleaved ? 2 * pair : pair);
            const int second = first + (interleaved ? 1 : 2);
            const double angle = (row - positions[row]) * SmallRope().inv_freq[pair];
            const double x = source[at + first], y = source[at + second];
            EXPECT_NEAR(rotated[at + first], x * std::cos(angle) - y * std::sin(angle), 1e-5);
            EXPECT_NEAR(rotated[at + second], x * std::sin(angle) + y * std::cos(angle), 1e-5);
          }
          for (const int untouched : {0, 1, 6, 7}) EXPECT_EQ(rotated[at + untouched], source[at + untouched]);
        }
      }
      // Values are the stored ones, as they are.
      EXPECT_EQ(served->tensors[1].digest, served->tensors[1].slot->digest);
    }
  }
}

TEST(ServedLayerTest, ServesFullEntriesContiguousWithoutTouchingKeys) {
  const Stored stored = Store(WithRope(Policy::kFull));
  const auto served = ServeLayer(stored.header(), stored.entry->body(), 0, Contiguous(), *kCompactor);
  ASSERT_TRUE(served.ok());
  EXPECT_EQ(served->tensors[0].digest, served->tensors[0].slot->digest);
  ServeOptions prefix = Contiguous();
  prefix.token_count = 30;
  const auto of_prefix = ServeLayer(stored.header(), stored.entry->body(), 0, prefix, *kCompactor);
  ASSERT_TRUE(of_prefix.ok());
  EXPECT_TRUE(of_prefix->scratch.empty());
}

TEST(ServedLayerTest, VerifiesBytesBeforeMakingOthersFromThem) {
  const Stored stored = Store(WithRope(Policy::kChunkKv));
  Bytes body(stored.entry->body().begin(), stored.entry->body().end());
  body[stored.header().FindTensor(1, TensorKind::kKeys, "k")->offset + 3] ^= std::byte{1};
  const auto rotated = ServeLayer(stored.header(), body, 1, Contiguous(), *kCompactor);
  EXPECT_EQ(rotated.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(StatusReason(rotated.status()), "DIGEST_MISMATCH");
  EXPECT_TRUE(ServeLayer(stored.header(), body, 0, Contiguous(), *kCompactor).ok());
  // What is sent as it is stored is the reader's to verify, against the digest that goes with it.
  EXPECT_TRUE(ServeLayer(stored.header(), body, 1, ServeOptions(), *kCompactor).ok());
}

TEST(ServedLayerTest, StopsWhenItsReaderIsGone) {
  const Stored full = Store(WithRope(Policy::kFull));
  const Stored compacted = Store(WithRope(Policy::kChunkKv));
  ServeOptions range;
  range.first_token = 5;
  range.token_count = 20;
  // At every look: never as damage, for which the entry would be removed.
  for (const auto& [stored, asked] : {std::pair(&full, range), std::pair(&compacted, Contiguous())}) {
    int looks = 0;
    ServeOptions options = asked;
    options.cancelled = [&looks] {
      ++looks;
      return false;
    };
    ASSERT_TRUE(ServeLayer(stored->header(), stored->entry->body(), 1, options, *kCompactor).ok());
    const int all_looks = looks;
    EXPECT_GE(all_looks, 4);
    for (int last = 0; last < all_looks; ++last) {
      looks = 0;
      options.cancelled = [&looks, last] { return looks++ >= last; };
      const auto served = ServeLayer(stored->header(), stored->entry->body(), 1, options, *kCompactor);
      EXPECT_EQ(served.status().code(), absl::StatusCode::kCancelled) << served.status();
    }
  }
}

TEST(ServedLayerTest, RefusesWhatAnEntryCannotServe) {
  const Stored compacted = Store(SmallRequest());
  const Stored full = Store(WithRope(Policy::kFull));
  const auto reason = [](const EntryHeader& header, int64_t first, int64_t count, PositionMode mode) {
    ServeOptions options;
    options.first_token = first;
    options.token_count = count;
    options.position_mode = mode;
    return StatusReason(CheckServeOptions(header, options));
  };
  const auto kOriginal = PositionMode::kOriginal;
  EXPECT_EQ(reason(compacted.header(), 0, -1, kOriginal), "");
  EXPECT_EQ(reason(compacted.header(), 0, 10, kOriginal), "RANGE_OF_COMPACTED");
  EXPECT_EQ(reason(compacted.header(), 0, -1, PositionMode::kContiguous), "NO_ROPE");
  EXPECT_EQ(reason(full.header(), 0, 96, kOriginal), "");
  EXPECT_EQ(reason(full.header(), 90, 7, kOriginal), "TOKEN_RANGE");
  EXPECT_EQ(reason(full.header(), 96, -1, kOriginal), "TOKEN_RANGE");
  EXPECT_EQ(reason(full.header(), -1, 5, kOriginal), "TOKEN_RANGE");
  EXPECT_EQ(reason(full.header(), 1, INT64_MAX, kOriginal), "TOKEN_RANGE");
  ServeOptions past;
  past.first_token = 97;
  EXPECT_EQ(CheckServeOptions(full.header(), past).code(), absl::StatusCode::kOutOfRange);

  EntryHeader with_state = full.header();
  with_state.layout.push_back(VerbatimLayers(3, 1));
  EXPECT_EQ(reason(with_state, 0, 10, kOriginal), "RANGE_OF_VERBATIM");
  EntryHeader contiguous = compacted.header();
  contiguous.keys_contiguous = true;
  EXPECT_EQ(reason(contiguous, 0, -1, kOriginal), "KEYS_CONTIGUOUS");
  EXPECT_EQ(reason(contiguous, 0, -1, PositionMode::kContiguous), "");
}

}  // namespace
}  // namespace chunkkv
