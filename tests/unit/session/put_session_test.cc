// Every way to put, each compared with the reference run on the whole prompt.
#include "service/session/put_session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <thread>

#include "chunkkv/kernels/status.h"
#include "service/format/digest.h"
#include "tests/support/store_at_rest.h"
#include "tests/unit/session/put_driver.h"

namespace chunkkv {
namespace {

std::vector<std::vector<int32_t>> Everything(size_t groups, int64_t token_count) {
  std::vector<int32_t> all(token_count);
  std::iota(all.begin(), all.end(), 0);
  return std::vector<std::vector<int32_t>>(groups, all);
}

// Puts everything in order and expects what the reference keeps.
void ExpectPutAsReference(const PutRequest& request, int64_t part_tokens = 1 << 20) {
  const Prompt prompt = MakePrompt(request);
  const Kept kept = ReferenceKept(request, prompt);
  PutDriver driver;
  const absl::Status status = driver.Put(request, prompt, part_tokens);
  ASSERT_TRUE(status.ok()) << status;
  const PutSummary summary = driver.listener().summary();
  ExpectHolds(summary.entry, request, prompt, kept.positions);
  const CompactionOutcome& outcome = summary.entry->header().outcome;
  EXPECT_EQ(outcome.budget, kept.budget);
  EXPECT_EQ(outcome.policy_applied, request.spec.policy);
  size_t scored = 0;
  for (size_t i = 0; i < kept.masses.size(); ++i) scored += kept.masses[i] >= 0;
  ASSERT_EQ(outcome.retained_mass.size(), scored);
  for (const LayerMass& mass : outcome.retained_mass) {
    EXPECT_EQ(mass.mass, kept.masses[AttentionIndex(request.layout, mass.layer)]);
  }
  EXPECT_EQ(outcome.adjacent_jaccard.size(), kept.positions.empty() ? 0 : kept.positions.size() - 1);
  EXPECT_EQ(driver.listener().call_count_after_end(), 0);
}

TEST(PutSessionTest, KeepsWhatTheReferenceKeepsWhenSentInOrder) { ExpectPutAsReference(SmallRequest()); }

TEST(PutSessionTest, KeepsTheSameWhateverTheParts) {
  for (const int64_t part_tokens : {1, 7, 31, 95}) ExpectPutAsReference(SmallRequest(), part_tokens);
}

TEST(PutSessionTest, TakesEveryPolicyThatChoosesByScores) {
  for (const Policy policy : {Policy::kChunkKv, Policy::kSnapKv, Policy::kH2o}) {
    PutRequest request = SmallRequest();
    request.spec.policy = policy;
    ExpectPutAsReference(request, 17);
  }
}

TEST(PutSessionTest, TakesEveryScoreSource) {
  for (const ScoreSource source : {ScoreSource::kQueryWindow, ScoreSource::kAttention, ScoreSource::kTokenScores}) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      PutRequest request = SmallRequest();
      request.score_source = source;
      request.score_dtype = dtype;
      request.layout = {AttentionLayers(0, 3, SmallAttention(dtype))};
      ExpectPutAsReference(request, 31);
    }
  }
}

TEST(PutSessionTest, TakesAttentionOfLayersWithDifferentHeads) {
  const std::vector<std::vector<int32_t>> orders = {{2, 4}, {4, 2}, {2, 4, 2, 8}};
  for (const std::vector<int32_t>& heads_of_runs : orders) {
    PutRequest request = SmallRequest();
    request.token_count = 2000;  // attention of more than a page
    request.score_source = ScoreSource::kAttention;
    request.layout.clear();
    for (const int32_t heads : heads_of_runs) {
      LayerRun run = AttentionLayers(LayerCount(request.layout), 4);
      run.attention->query_head_count = heads;
      request.layout.push_back(run);
    }
    ExpectPutAsReference(request);
  }
}

TEST(PutSessionTest, TakesQueriesWithLse) {
  PutRequest request = SmallRequest();
  request.has_lse = true;
  ExpectPutAsReference(request, 31);
}

TEST(PutSessionTest, TakesHeadMajorParts) {
  AttentionRun attention = SmallAttention(DType::kBF16);
  attention.head_major_parts = true;
  for (const Policy policy : {Policy::kChunkKv, Policy::kFull, Policy::kStreamingLlm}) {
    PutRequest request = SmallRequest();
    request.layout = {AttentionLayers(0, 3, attention)};
    request.spec.policy = policy;
    if (policy == Policy::kFull) request.spec.max_tokens.reset();
    if (policy != Policy::kChunkKv) request.score_source = ScoreSource::kNone;
    ExpectPutAsReference(request, 7);
  }
}

TEST(PutSessionTest, StoresVerbatimLayersBetweenAttentionLayers) {
  for (const Policy policy : {Policy::kChunkKv, Policy::kFull, Policy::kStreamingLlm}) {
    PutRequest request = SmallRequest();
    request.layout = {VerbatimLayers(0, 1), AttentionLayers(1, 2), VerbatimLayers(3, 2),
                      AttentionLayers(5, 1, SmallAttention(DType::kF16)), VerbatimLayers(6, 1)};
    request.spec.policy = policy;
    if (policy == Policy::kFull) request.spec.max_tokens.reset();
    if (policy != Policy::kChunkKv) request.score_source = ScoreSource::kNone;
    ExpectPutAsReference(request, 31);
  }
}

TEST(PutSessionTest, StoresVerbatimLayersAlone) {
  PutRequest request = SmallRequest();
  request.layout = {VerbatimLayers(0, 2)};
  request.spec = CompactionSpec();
  request.score_source = ScoreSource::kNone;
  const Prompt prompt = MakePrompt(request);
  PutDriver driver;
  ASSERT_TRUE(driver.Put(request, prompt).ok());
  ExpectHolds(driver.listener().summary().entry, request, prompt, {});
}

TEST(PutSessionTest, StoresKeysWithoutValues) {
  AttentionRun attention = SmallAttention();
  attention.value_head_size = 0;
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, 3, attention)};
  ExpectPutAsReference(request, 31);
}

TEST(PutSessionTest, StoresFp8RowsWithTheirScales) {
  AttentionRun attention = SmallAttention(DType::kF8E4M3);
  attention.scales = ScaleShape{2, DType::kF16};
  for (const Policy policy : {Policy::kFull, Policy::kStreamingLlm}) {
    PutRequest request = SmallRequest();
    request.layout = {AttentionLayers(0, 3, attention)};
    request.spec.policy = policy;
    if (policy == Policy::kFull) request.spec.max_tokens.reset();
    request.score_source = ScoreSource::kNone;
    ExpectPutAsReference(request, 31);
  }
  // Keys that cannot be scored do not keep others' scores from choosing.
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, 3, attention)};
  request.score_source = ScoreSource::kTokenScores;
  ExpectPutAsReference(request, 31);
}

TEST(PutSessionTest, KeepsEverythingWhenTheBudgetHoldsThePrompt) {
  PutRequest request = SmallRequest();
  request.spec.max_tokens = 1000;
  const Prompt prompt = MakePrompt(request);
  PutDriver driver;
  ASSERT_TRUE(driver.Put(request, prompt, 31).ok());
  const PutSummary summary = driver.listener().summary();
  ExpectHolds(summary.entry, request, prompt, Everything(3, 96));
  EXPECT_EQ(summary.peak_staging_bytes, 0);
  ASSERT_EQ(summary.entry->header().outcome.retained_mass.size(), 3u);
  EXPECT_EQ(summary.entry->header().outcome.retained_mass[2].mass, 1.0);
  EXPECT_TRUE(driver.listener().WaitForSelection(1)->everything);
}

TEST(PutSessionTest, StagesNothingOfFullEntries) {
  PutRequest request = SmallRequest();
  request.spec = CompactionSpec();
  request.score_source = ScoreSource::kNone;
  const Prompt prompt = MakePrompt(request);
  PutDriver driver;
  ASSERT_TRUE(driver.Put(request, prompt, 31).ok());
  const PutSummary summary = driver.listener().summary();
  ExpectHolds(summary.entry, request, prompt, Everything(3, 96));
  EXPECT_TRUE(summary.entry->header().IsExact());
  EXPECT_EQ(summary.peak_staging_bytes, 0);
  EXPECT_EQ(summary.received_bytes, FullBytes(request.layout, 96));
  EXPECT_EQ(summary.stored_bytes, FullBytes(request.layout, 96));
}

TEST(PutSessionTest, StagesNothingWhenPositionsAreKnownBefore) {
  PutRequest request = SmallRequest();
  request.spec.policy = Policy::kStreamingLlm;
  request.score_source = ScoreSource::kNone;
  const Prompt prompt = MakePrompt(request);
  PutDriver driver;
  ASSERT_TRUE(driver.Put(request, prompt, 11).ok());
  const PutSummary summary = driver.listener().summary();
  const Kept kept = ReferenceKept(request, prompt);
  ExpectHolds(summary.entry, request, prompt, kept.positions);
  EXPECT_EQ(summary.peak_staging_bytes, 0);
  EXPECT_EQ(summary.received_bytes, FullBytes(request.layout, 96));
  EXPECT_EQ(driver.listener().WaitForSelection(2)->positions, kept.positions[2]);
}

TEST(PutSessionTest, DropsScoreInputsOfLayersThatAreNotScored) {
  PutRequest request = SmallRequest();
  request.spec.reuse_group = 2;  // layer 1 follows layer 0
  ExpectPutAsReference(request, 31);
  request.spec = CompactionSpec();  // full
  const Prompt prompt = MakePrompt(request);
  PutDriver driver;
  ASSERT_TRUE(driver.Put(request, prompt, 31).ok());
  ExpectHolds(driver.listener().summary().entry, request, prompt, Everything(3, 96));
}

TEST(PutSessionTest, ChoosesPerReuseGroup) {
  for (const GroupScore score : {GroupScore::kLeader, GroupScore::kSum}) {
    for (const int32_t reuse_group : {1, 2, 3, 5}) {
      PutRequest request = SmallRequest();
      request.layout = {AttentionLayers(0, 2), VerbatimLayers(2, 1), AttentionLayers(3, 5)};
      request.spec.reuse_group = reuse_group;
      request.spec.group_score = score;
      ExpectPutAsReference(request, 31);
    }
  }
}

TEST(PutSessionTest, ChoosesByALeaderThatIsNotTheFirst) {
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, 9)};
  request.spec.groups = {{0, 6, 5}, {6, 1, 6}, {7, 2, 7}};
  ExpectPutAsReference(request, 31);
}

// All parts of a prompt, in no order at all.
struct AnyPart {
  int32_t layer;
  size_t tensor;
  int64_t begin;
  int64_t end;
};

TEST(PutSessionTest, TakesPartsInAnyOrderWhenDeclared) {
  for (const uint32_t seed : {1u, 2u, 3u}) {
    for (const Policy policy : {Policy::kChunkKv, Policy::kFull, Policy::kStreamingLlm}) {
      PutRequest request = SmallRequest();
      request.order = PartOrder::kAny;
      request.layout = {AttentionLayers(0, 3), VerbatimLayers(3, 1), AttentionLayers(4, 3)};
      request.spec.policy = policy;
      request.spec.reuse_group = 2;
      if (policy == Policy::kFull) request.spec.max_tokens.reset();
      const Prompt prompt = MakePrompt(request, seed);
      std::mt19937 random(seed);
      std::vector<AnyPart> parts;
      for (int32_t layer = 0; layer < 7; ++layer) {
        if (layer == 3) continue;
        for (size_t tensor = 0; tensor < 2; ++tensor) {
          for (int64_t begin = 0; begin < 96;) {
            const int64_t end = std::min<int64_t>(96, begin + 1 + random() % 40);
            parts.push_back({layer, tensor, begin, end});
            begin = end;
          }
        }
      }
      std::shuffle(parts.begin(), parts.end(), random);
      PutDriver driver;
      ASSERT_TRUE(driver.Begin(request).ok());
      for (size_t i = 0; i < parts.size(); ++i) {
        const AnyPart& part = parts[i];
        ASSERT_TRUE(driver.SendRows(prompt, part.layer, part.tensor, part.begin, part.end).ok());
        if (i == parts.size() / 2) {
          for (const int32_t layer : {6, 4, 2, 0, 1, 5}) ASSERT_TRUE(driver.SendScores(prompt, layer).ok());
        }
      }
      ASSERT_TRUE(driver.SendNamed(prompt, 3).ok());
      ASSERT_TRUE(driver.CommitAndWait().ok());
      ExpectHolds(driver.listener().summary().entry, request, prompt, ReferenceKept(request, prompt).positions);
    }
  }
}

TEST(PutSessionTest, SelectsFirstThenTakesKeptRowsOnly) {
  for (const PartOrder order : {PartOrder::kLayerMajor, PartOrder::kAny}) {
    for (const ScoreSource source : {ScoreSource::kTokenScores, ScoreSource::kAttention}) {
      PutRequest request = SmallRequest();
      request.send_mode = SendMode::kSelectThenSend;
      request.order = order;
      request.score_source = source;
      request.layout = {AttentionLayers(0, 7), VerbatimLayers(7, 1)};
      const Prompt prompt = MakePrompt(request);
      const Kept kept = ReferenceKept(request, prompt);
      PutDriver driver;
      ASSERT_TRUE(driver.Begin(request).ok());
      for (int32_t layer = 0; layer < 7; ++layer) ASSERT_TRUE(driver.SendScores(prompt, layer).ok());
      for (int32_t layer = 0; layer < 7; ++layer) {
        const auto selection = driver.listener().WaitForSelection(layer);
        ASSERT_TRUE(selection.has_value());
        EXPECT_EQ(selection->positions, kept.positions[layer]);
        for (size_t tensor = 0; tensor < 2; ++tensor) {
          ASSERT_TRUE(driver.SendKeptRows(prompt, layer, tensor, selection->positions, 0, 13).ok());
          ASSERT_TRUE(driver.SendKeptRows(prompt, layer, tensor, selection->positions, 13, kept.budget).ok());
        }
      }
      ASSERT_TRUE(driver.SendNamed(prompt, 7).ok());
      ASSERT_TRUE(driver.CommitAndWait().ok());
      const PutSummary summary = driver.listener().summary();
      ExpectHolds(summary.entry, request, prompt, kept.positions);
      EXPECT_EQ(summary.peak_staging_bytes, 0);
    }
  }
}

TEST(PutSessionTest, TakesRowsOfTheCallersOwnChoice) {
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, 3), VerbatimLayers(3, 1)};
  request.spec = CompactionSpec();
  request.spec.policy = Policy::kExternal;
  request.spec.label = "by hand";
  request.spec.reuse_group = 2;
  request.score_source = ScoreSource::kNone;
  request.group_row_counts = {3, 96};
  request.keys_contiguous = true;
  request.next_position = 120;
  const std::vector<std::vector<int32_t>> positions = {{0, 41, 95}, Everything(1, 96)[0]};
  const Prompt prompt = MakePrompt(request);
  PutDriver driver;
  ASSERT_TRUE(driver.Begin(request).ok());
  for (int32_t group = 0; group < 2; ++group) {
    ASSERT_TRUE(driver.session().SetPositions(group, positions[group]).ok());
  }
  for (int32_t layer = 0; layer < 3; ++layer) {
    const std::vector<int32_t>& kept = positions[layer / 2];
    for (size_t tensor = 0; tensor < 2; ++tensor) {
      ASSERT_TRUE(driver.SendKeptRows(prompt, layer, tensor, kept, 0, kept.size()).ok());
    }
  }
  ASSERT_TRUE(driver.SendNamed(prompt, 3).ok());
  ASSERT_TRUE(driver.CommitAndWait().ok());
  const EntryPtr entry = driver.listener().summary().entry;
  ExpectHolds(entry, request, prompt, positions);
  EXPECT_EQ(entry->header().outcome.budget, 0);
  EXPECT_EQ(entry->header().next_position, 120);
  EXPECT_TRUE(entry->header().keys_contiguous);
  ASSERT_EQ(entry->header().outcome.adjacent_jaccard.size(), 1u);
  EXPECT_DOUBLE_EQ(entry->header().outcome.adjacent_jaccard[0], 3.0 / 96);
}

TEST(PutSessionTest, TakesSeveralStreamsOutOfStep) {
  for (const Policy policy : {Policy::kChunkKv, Policy::kFull, Policy::kStreamingLlm}) {
    PutRequest request = SmallRequest();
    request.layout = {AttentionLayers(0, 24)};
    request.spec.policy = policy;
    if (policy == Policy::kFull) request.spec.max_tokens.reset();
    const Prompt prompt = MakePrompt(request);
    PutDriver driver;
    ASSERT_TRUE(driver.Begin(request).ok());
    std::vector<int32_t> streams = {0};
    for (int i = 0; i < 2; ++i) streams.push_back(driver.session().OpenStream().value());
    std::vector<std::thread> senders;
    for (const int32_t stream : streams) {
      senders.emplace_back([&, stream] {
        for (int32_t layer = stream; layer < 24; layer += 3) {
          EXPECT_TRUE(driver.SendLayer(prompt, layer, 40, stream).ok());
        }
        // The commit may overtake what the others still bring.
        if (stream == 0) {
          driver.session().Commit(std::nullopt);
        } else {
          driver.session().CloseStream(stream);
        }
      });
    }
    for (std::thread& sender : senders) sender.join();
    ASSERT_TRUE(driver.listener().WaitForEnd().ok()) << driver.listener().WaitForEnd();
    ExpectHolds(driver.listener().summary().entry, request, prompt, ReferenceKept(request, prompt).positions);
  }
}

TEST(PutSessionTest, CommitsFromAnAttachedStream) {
  for (const bool complete : {true, false}) {
    const PutRequest request = SmallRequest();
    const Prompt prompt = MakePrompt(request);
    PutDriver driver;
    ASSERT_TRUE(driver.Begin(request).ok());
    const int32_t attached = driver.session().OpenStream().value();
    driver.session().Commit(std::nullopt, attached);
    EXPECT_FALSE(driver.listener().has_ended());  // the first stream is open
    for (int32_t layer = 0; layer < (complete ? 3 : 2); ++layer) {
      ASSERT_TRUE(driver.SendLayer(prompt, layer).ok());
    }
    driver.session().CloseStream(0);
    EXPECT_EQ(StatusReason(driver.listener().WaitForEnd()), complete ? "" : "LAYER_MISSING");
  }
}

TEST(PutSessionTest, StagesAtMostTheOpenLayersInLayerMajorOrder) {
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, 40)};
  const Prompt prompt = MakePrompt(request);
  const int64_t layer_bytes = FullBytes(request.layout, 96) / 40;
  PutDriver driver;
  ASSERT_TRUE(driver.Put(request, prompt, 31).ok());
  const int64_t peak = driver.listener().summary().peak_staging_bytes;
  EXPECT_GE(peak, layer_bytes);
  EXPECT_LE(peak, 4 * layer_bytes);
}

TEST(PutSessionTest, HoldsBackStreamsThatAreAhead) {
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, 8)};
  const Prompt prompt = MakePrompt(request);
  PutDriver driver;
  ASSERT_TRUE(driver.Begin(request).ok());
  const int32_t ahead = driver.session().OpenStream().value();
  for (int32_t layer = 1; layer < 4; ++layer) ASSERT_TRUE(driver.SendLayer(prompt, layer, 96, ahead).ok());
  while (driver.session().IsWorking()) std::this_thread::yield();  // which wakes who waits
  bool resumed = false;
  const PartHeader header = RowsHeader(request, 4, 0, 0, 96);
  auto placement = driver.session().PlacePart(ahead, header, [&resumed] { resumed = true; });
  ASSERT_TRUE(placement.ok());
  EXPECT_TRUE(placement->later);
  EXPECT_FALSE(resumed);
  ASSERT_TRUE(driver.SendLayer(prompt, 0, 96, 0).ok());
  for (int32_t layer = 4; layer < 8; ++layer) ASSERT_TRUE(driver.SendLayer(prompt, layer, 96, ahead).ok());
  driver.session().CloseStream(ahead);
  ASSERT_TRUE(driver.CommitAndWait().ok());
  EXPECT_TRUE(resumed);
  EXPECT_LE(driver.listener().summary().peak_staging_bytes, FullBytes(request.layout, 96) / 2);
}

TEST(PutSessionTest, EndsWhenNoStreamCanBringTheLowestLayer) {
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, 8)};
  const Prompt prompt = MakePrompt(request);
  PutDriver driver;
  ASSERT_TRUE(driver.Begin(request).ok());
  ASSERT_TRUE(driver.SendLayer(prompt, 1).ok());
  bool resumed = false;
  ASSERT_TRUE(driver.session().PlacePart(0, RowsHeader(request, 4, 0, 0, 96), [&resumed] { resumed = true; })->later);
  driver.session().EndIfStalled();
  EXPECT_FALSE(driver.listener().has_ended());
  driver.clock().AdvanceMs(SessionLimits().stall_ms);
  // The strand may still be busy with layer 1: then time begins to count anew.
  while (!driver.listener().has_ended()) {
    driver.session().EndIfStalled();
    driver.clock().AdvanceMs(SessionLimits().stall_ms);
  }
  EXPECT_EQ(StatusReason(driver.listener().WaitForEnd()), "GAP");
  EXPECT_TRUE(resumed);
}

TEST(PutSessionTest, ComparesTheDeclaredContentDigest) {
  for (const Policy policy : {Policy::kChunkKv, Policy::kFull, Policy::kStreamingLlm}) {
    for (const bool head_major : {false, true}) {
      PutRequest request = SmallRequest();
      AttentionRun attention = SmallAttention();
      attention.head_major_parts = head_major;
      request.layout = {AttentionLayers(0, 3, attention), VerbatimLayers(3, 1)};
      request.spec.policy = policy;
      if (policy == Policy::kFull) request.spec.max_tokens.reset();
      const Prompt prompt = MakePrompt(request);
      request.content_digest = ContentDigestOf(request, prompt);
      PutDriver driver;
      ASSERT_TRUE(driver.Put(request, prompt, 31).ok());
      EXPECT_EQ(driver.listener().summary().entry->header().content_digest, request.content_digest);
      ExpectHolds(driver.listener().summary().entry, request, prompt, ReferenceKept(request, prompt).positions);

      request.key[0] = 8;
      (*request.content_digest)[0] ^= 1;
      EXPECT_EQ(StatusReason(driver.Put(request, prompt, 31)), "CONTENT_DIGEST");
    }
  }
}

TEST(PutSessionTest, ComparesAContentDigestGivenAtCommit) {
  PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  Bytes16 digest = ContentDigestOf(request, prompt);
  for (const bool right : {true, false}) {
    if (!right) digest[15] ^= 1;
    request.key[0] = right ? 1 : 2;
    PutDriver driver;
    ASSERT_TRUE(driver.Begin(request).ok());
    for (int32_t layer = 0; layer < 3; ++layer) ASSERT_TRUE(driver.SendLayer(prompt, layer).ok());
    EXPECT_EQ(StatusReason(driver.CommitAndWait(digest)), right ? "" : "CONTENT_DIGEST");
  }
}

TEST(PutSessionTest, StoresTheContentDigestOfWhatItSawWhole) {
  for (const Policy policy : {Policy::kChunkKv, Policy::kFull, Policy::kStreamingLlm}) {
    PutRequest request = SmallRequest();
    request.spec.policy = policy;
    if (policy == Policy::kFull) request.spec.max_tokens.reset();
    const Prompt prompt = MakePrompt(request);
    PutDriver driver;
    ASSERT_TRUE(driver.Put(request, prompt).ok());
    const std::optional<Bytes16> digest = driver.listener().summary().entry->header().content_digest;
    // Rows that are dropped as they come are not hashed unless a digest was declared.
    if (policy == Policy::kStreamingLlm) {
      EXPECT_FALSE(digest.has_value());
    } else {
      EXPECT_EQ(digest, ContentDigestOf(request, prompt));
    }
  }
}

TEST(PutSessionTest, TellsThatAnotherPutCommittedFirst) {
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  PutDriver driver;
  ASSERT_TRUE(driver.Put(request, prompt).ok());
  const EntryPtr first = driver.listener().summary().entry;
  ASSERT_TRUE(driver.Put(request, MakePrompt(request, 2)).ok());
  EXPECT_TRUE(driver.listener().summary().already_stored);
  EXPECT_EQ(driver.listener().summary().entry, first);
  driver.Settle();
  ExpectAtRest(driver.store());
}

TEST(PutSessionTest, NeedsNoMoreRoomThanItReserved) {
  for (const Policy policy : {Policy::kFull, Policy::kChunkKv, Policy::kStreamingLlm}) {
    PutRequest request = SmallRequest();
    request.spec.policy = policy;
    if (policy == Policy::kFull) request.spec.max_tokens.reset();
    request.prompt.block_size = 1;
    request.prompt.digests.resize(96);
    const Prompt prompt = MakePrompt(request);
    PutDriver driver;
    ASSERT_TRUE(driver.Begin(request).ok());
    const StoreStats stats = driver.store().Stats();
    const auto everything_else = driver.store().Reserve(stats.budget_bytes - stats.used_bytes);
    ASSERT_TRUE(everything_else.ok());
    for (int32_t layer = 0; layer < 3; ++layer) ASSERT_TRUE(driver.SendLayer(prompt, layer).ok());
    const absl::Status status = driver.CommitAndWait();
    EXPECT_TRUE(status.ok()) << status;
    const PutSummary summary = driver.listener().summary();
    EXPECT_LE(driver.store().Stats().used_bytes, stats.budget_bytes);
  }
}

TEST(PutSessionTest, CommitsUnderAPinAndAnExpiry) {
  PutRequest request = SmallRequest();
  request.ttl_ms = 5000;
  request.pin_ms = 3000;
  PutDriver driver;
  ASSERT_TRUE(driver.Put(request, MakePrompt(request)).ok());
  const PutSummary summary = driver.listener().summary();
  EXPECT_EQ(summary.entry->header().expires_unix_ms, driver.clock().UnixMs() + 5000);
  ASSERT_TRUE(summary.pin.has_value());
  EXPECT_EQ(summary.pin->expires_unix_ms, driver.clock().UnixMs() + 3000);
}

TEST(PutSessionTest, WorksWithTheVectorisedCompactor) {
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, 6, SmallAttention(DType::kBF16))};
  request.score_dtype = DType::kBF16;
  const Prompt prompt = MakePrompt(request);
  PutDriver driver(int64_t{64} << 20, SessionLimits(), MakeCpuCompactor());
  ASSERT_TRUE(driver.Put(request, prompt, 31).ok());
  const EntryPtr entry = driver.listener().summary().entry;
  // Near ties may fall otherwise; the rows are those of the positions told.
  ExpectHolds(entry, request, prompt, entry->header().positions);
  EXPECT_EQ(entry->header().positions[0].size(), 40u);
}

}  // namespace
}  // namespace chunkkv
