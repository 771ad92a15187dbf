// What a wrong put gets: a status, a reason, and nothing left behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "tests/support/store_at_rest.h"
#include "tests/unit/session/put_driver.h"

namespace chunkkv {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

PutRequest ExternalRequest() {
  PutRequest request = SmallRequest();
  request.spec = CompactionSpec();
  request.spec.policy = Policy::kExternal;
  request.spec.label = std::string("by hand");
  request.score_source = ScoreSource::kNone;
  request.group_row_counts = {4, 4, 4};
  return request;
}

// --- At the beginning ---

struct BadRequest {
  const char* name;
  absl::StatusCode code;
  const char* reason;
  std::function<void(PutRequest&)> spoil;
};

std::ostream& operator<<(std::ostream& out, const BadRequest& bad) { return out << bad.name; }

class PutBadRequestTest : public testing::TestWithParam<BadRequest> {};

TEST_P(PutBadRequestTest, IsRefusedByName) {
  PutRequest request = SmallRequest();
  GetParam().spoil(request);
  PutDriver driver;
  const absl::Status status = driver.Begin(request);
  EXPECT_EQ(status.code(), GetParam().code) << status;
  EXPECT_EQ(StatusReason(status), GetParam().reason) << status;
  EXPECT_LE(status.message().size(), 1024u);
  ExpectAtRest(driver.store());
  // A good one after it is served.
  const PutRequest good = SmallRequest();
  EXPECT_TRUE(driver.Put(good, MakePrompt(good)).ok());
}

AttentionRun& Attention(PutRequest& request) { return *request.layout[0].attention; }

const BadRequest kBadRequests[] = {
    {"NoLayout", kInvalid, "EMPTY_LAYOUT", [](PutRequest& r) { r.layout.clear(); }},
    {"LayoutWithGap", kInvalid, "BAD_LAYER_RUNS", [](PutRequest& r) { r.layout.push_back(AttentionLayers(4, 1)); }},
    {"LayoutOverlapping", kInvalid, "BAD_LAYER_RUNS", [](PutRequest& r) { r.layout.push_back(AttentionLayers(2, 1)); }},
    {"LayersZero", kInvalid, "BAD_LAYER_RUNS", [](PutRequest& r) { r.layout[0].layer_count = 0; }},
    {"LayersAboveCap", kInvalid, "BAD_LAYER_RUNS", [](PutRequest& r) { r.layout[0].layer_count = 1 << 30; }},
    {"HeadsZero", kInvalid, "BAD_DIMENSION", [](PutRequest& r) { Attention(r).kv_head_count = 0; }},
    {"HeadSizeNegative", kInvalid, "BAD_DIMENSION", [](PutRequest& r) { Attention(r).key_head_size = -8; }},
    {"HeadSizeAboveCap", kInvalid, "BAD_DIMENSION", [](PutRequest& r) { Attention(r).key_head_size = 1 << 20; }},
    {"QueryHeadsNotAMultiple", kInvalid, "BAD_HEADS", [](PutRequest& r) { Attention(r).query_head_count = 3; }},
    {"DTypeUnset", kInvalid, "BAD_DTYPE", [](PutRequest& r) { Attention(r).key_dtype = static_cast<DType>(0); }},
    {"Fp8WithoutScales", kInvalid, "SCALES_MISSING", [](PutRequest& r) { Attention(r).key_dtype = DType::kF8E5M2; }},
    {"VerbatimTooLarge", kInvalid, "SIZE_OVERFLOW",
     [](PutRequest& r) {
       r.layout.push_back(VerbatimLayers(3, 2));
       r.layout[1].named_tensors[0].size_bytes = std::numeric_limits<int64_t>::max();
     }},
    {"VerbatimBeyondAnyMemory", kInvalid, "SIZE_OVERFLOW",
     [](PutRequest& r) {
       r.layout.push_back(VerbatimLayers(3, 1));
       r.layout[1].named_tensors[0].size_bytes = int64_t{1} << 61;
     }},
    {"EntryTooLarge", kExhausted, "ENTRY_TOO_LARGE", [](PutRequest& r) { r.token_count = 1 << 23; }},
    {"TokensZero", kInvalid, "BAD_TOKEN_COUNT", [](PutRequest& r) { r.token_count = 0; }},
    {"TokensNegative", kInvalid, "BAD_TOKEN_COUNT", [](PutRequest& r) { r.token_count = -1; }},
    {"TokensAboveCap", kInvalid, "BAD_TOKEN_COUNT",
     [](PutRequest& r) { r.token_count = std::numeric_limits<int64_t>::max(); }},
    {"BlockDigestsOfAnotherPrompt", kInvalid, "BAD_BLOCK_DIGESTS", [](PutRequest& r) { r.prompt.digests.resize(3); }},
    {"BlockSizeZero", kInvalid, "BAD_BLOCK_DIGESTS",
     [](PutRequest& r) {
       r.prompt.digests.resize(2);
       r.prompt.block_size = 0;
     }},
    {"ChunkLengthZero", kInvalid, "BAD_CHUNK_LENGTH", [](PutRequest& r) { r.spec.chunk_length = 0; }},
    {"ChunkLengthAboveCap", kInvalid, "BAD_CHUNK_LENGTH", [](PutRequest& r) { r.spec.chunk_length = 4097; }},
    {"ChunkStartsUnsorted", kInvalid, "BAD_CHUNK_STARTS",
     [](PutRequest& r) {
       r.spec.chunk_starts = {0, 20, 10};
     }},
    {"ChunkStartsNotAtTheSinks", kInvalid, "BAD_CHUNK_STARTS",
     [](PutRequest& r) {
       r.spec.chunk_starts = {1, 20};
     }},
    {"ChunkStartsPastTheEnd", kInvalid, "BAD_CHUNK_STARTS",
     [](PutRequest& r) {
       r.spec.chunk_starts = {0, 96};
     }},
    {"WindowZero", kInvalid, "BAD_WINDOW_LENGTH", [](PutRequest& r) { r.spec.window_length = 0; }},
    {"KeepRatioNan", kInvalid, "BAD_KEEP_RATIO",
     [](PutRequest& r) {
       r.spec.max_tokens.reset();
       r.spec.keep_ratio = std::nan("");
     }},
    {"BudgetTwice", kInvalid, "BUDGET_AMBIGUOUS", [](PutRequest& r) { r.spec.keep_ratio = 0.5; }},
    {"BudgetMissing", kInvalid, "BUDGET_MISSING", [](PutRequest& r) { r.spec.max_tokens.reset(); }},
    {"BudgetOfFull", kInvalid, "BUDGET_NOT_ALLOWED", [](PutRequest& r) { r.spec.policy = Policy::kFull; }},
    {"BudgetBelowWindow", kInvalid, "BUDGET_BELOW_WINDOW", [](PutRequest& r) { r.spec.max_tokens = 7; }},
    {"PoolEven", kInvalid, "BAD_POOL", [](PutRequest& r) { r.spec.pool = 2; }},
    {"MassAboveOne", kInvalid, "BAD_MIN_RETAINED_MASS", [](PutRequest& r) { r.spec.min_retained_mass = 1.5; }},
    {"LeaderOutsideItsGroup", kInvalid, "BAD_LEADER",
     [](PutRequest& r) {
       r.spec.groups = {{0, 2, 2}, {2, 1, 2}};
     }},
    {"GuardrailWhereSharded", kInvalid, "GUARDRAIL_SHARDED",
     [](PutRequest& r) {
       r.shard.tp_size = 2;
       r.spec.min_retained_mass = 0.5;
       r.spec.on_low_mass = OnLowMass::kKeepFull;
     }},
    {"MassWithoutScores", kInvalid, "MASS_WITHOUT_SCORES",
     [](PutRequest& r) {
       r.spec.policy = Policy::kStreamingLlm;
       r.spec.min_retained_mass = 0.5;
     }},
    {"ScoresMissing", kInvalid, "SCORES_MISSING", [](PutRequest& r) { r.score_source = ScoreSource::kNone; }},
    {"ScoreDTypeUnset", kInvalid, "BAD_SCORE_DTYPE", [](PutRequest& r) { r.score_dtype = static_cast<DType>(0); }},
    {"ScoreDTypeFp8", kInvalid, "BAD_SCORE_DTYPE", [](PutRequest& r) { r.score_dtype = DType::kF8E4M3; }},
    {"LseWithoutQueries", kInvalid, "BAD_SCORE_SOURCE",
     [](PutRequest& r) {
       r.score_source = ScoreSource::kTokenScores;
       r.has_lse = true;
     }},
    {"ScoringFp8", kUnimplemented, "SCORING_FP8",
     [](PutRequest& r) {
       Attention(r).key_dtype = DType::kF8E4M3;
       Attention(r).scales = ScaleShape{1, DType::kF32};
     }},
    {"SelectFromQueries", kUnimplemented, "REGIONS", [](PutRequest& r) { r.send_mode = SendMode::kSelectThenSend; }},
    {"SelectExternal", kInvalid, "SELECT_EXTERNAL",
     [](PutRequest& r) {
       r = ExternalRequest();
       r.send_mode = SendMode::kSelectThenSend;
     }},
    {"DigestOfRowsNeverSent", kUnimplemented, "CONTENT_DIGEST",
     [](PutRequest& r) {
       r.send_mode = SendMode::kSelectThenSend;
       r.score_source = ScoreSource::kTokenScores;
       r.content_digest = Bytes16{};
     }},
    {"OnlyVerbatimLayersCompacted", kInvalid, "NO_ATTENTION_LAYERS",
     [](PutRequest& r) { r.layout = {VerbatimLayers(0, 3)}; }},
    {"ExternalWithoutLabel", kInvalid, "LABEL_MISSING",
     [](PutRequest& r) {
       r = ExternalRequest();
       r.spec.label.clear();
     }},
    {"ExternalRowCountsForOtherGroups", kInvalid, "BAD_ROW_COUNTS",
     [](PutRequest& r) {
       r = ExternalRequest();
       r.group_row_counts.pop_back();
     }},
    {"ExternalRowsZero", kInvalid, "BAD_ROW_COUNTS",
     [](PutRequest& r) {
       r = ExternalRequest();
       r.group_row_counts[1] = 0;
     }},
    {"ExternalRowsAboveThePrompt", kInvalid, "BAD_ROW_COUNTS",
     [](PutRequest& r) {
       r = ExternalRequest();
       r.group_row_counts[1] = 97;
     }},
    {"RowCountsOfAnotherPolicy", kInvalid, "BAD_ROW_COUNTS",
     [](PutRequest& r) {
       r.group_row_counts = {4, 4, 4};
     }},
    {"ContiguousKeysOfAnotherPolicy", kInvalid, "KEYS_CONTIGUOUS", [](PutRequest& r) { r.keys_contiguous = true; }},
    {"NextPositionOfAnotherPolicy", kInvalid, "BAD_NEXT_POSITION", [](PutRequest& r) { r.next_position = 97; }},
    {"NextPositionNegative", kInvalid, "BAD_NEXT_POSITION", [](PutRequest& r) { r.next_position = -1; }},
    {"NextPositionBelowTheRows", kInvalid, "BAD_NEXT_POSITION",
     [](PutRequest& r) {
       r = ExternalRequest();
       r.next_position = 3;
     }},
    {"TtlNegative", kInvalid, "BAD_TTL", [](PutRequest& r) { r.ttl_ms = -1; }},
    {"TtlOverflowing", kInvalid, "BAD_TTL", [](PutRequest& r) { r.ttl_ms = std::numeric_limits<int64_t>::max(); }},
    {"PinNegative", kInvalid, "BAD_PIN", [](PutRequest& r) { r.pin_ms = -1; }},
    {"PinTooLong", kInvalid, "PIN_TOO_LONG", [](PutRequest& r) { r.pin_ms = 3'600'001; }},
};

INSTANTIATE_TEST_SUITE_P(Requests, PutBadRequestTest, testing::ValuesIn(kBadRequests),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(PutBadRequestTest, RefusesMorePositionsThanMayBe) {
  SessionLimits limits;
  limits.max_positions = 119;
  PutDriver driver(int64_t{1} << 20, limits);
  EXPECT_EQ(StatusReason(driver.Begin(SmallRequest())), "TOO_MANY_POSITIONS");
  ExpectAtRest(driver.store());
}

// --- While parts come ---

struct BadPart {
  const char* name;
  absl::StatusCode code;
  const char* reason;
  std::function<PutRequest()> request;
  // The last thing it does is wrong.
  std::function<absl::Status(PutDriver&, const Prompt&)> put;
};

std::ostream& operator<<(std::ostream& out, const BadPart& bad) { return out << bad.name; }

class PutBadPartTest : public testing::TestWithParam<BadPart> {};

TEST_P(PutBadPartTest, EndsTheSessionByName) {
  const PutRequest request = GetParam().request();
  const Prompt prompt = MakePrompt(request);
  PutDriver driver;
  ASSERT_TRUE(driver.Begin(request).ok());
  const absl::Status status = GetParam().put(driver, prompt);
  EXPECT_EQ(status.code(), GetParam().code) << status;
  EXPECT_EQ(StatusReason(status), GetParam().reason) << status;
  EXPECT_LE(status.message().size(), 1024u);
  EXPECT_EQ(StatusReason(driver.listener().WaitForEnd()), GetParam().reason);
  // Nothing more is taken.
  EXPECT_EQ(StatusReason(driver.SendRows(prompt, 0, 0, 0, 1)), GetParam().reason);
  driver.Settle();
  ExpectAtRest(driver.store());
  EXPECT_EQ(driver.store().Stats().entries, 0);
  const PutRequest good = SmallRequest();
  EXPECT_TRUE(driver.Put(good, MakePrompt(good)).ok());
}

PutRequest WithVerbatim() {
  PutRequest request = SmallRequest();
  request.layout.push_back(VerbatimLayers(3, 1));
  return request;
}

PutRequest Selecting() {
  PutRequest request = SmallRequest();
  request.send_mode = SendMode::kSelectThenSend;
  request.score_source = ScoreSource::kTokenScores;
  return request;
}

PutRequest AnyOrder() {
  PutRequest request = SmallRequest();
  request.order = PartOrder::kAny;
  return request;
}

PutRequest FromScores() {
  PutRequest request = SmallRequest();
  request.score_source = ScoreSource::kTokenScores;
  return request;
}

// A part of `tensor` with as many bytes as its header says.
absl::Status Send(PutDriver& driver, PartHeader header) {
  return driver.SendPart(0, header, Bytes(std::max<int64_t>(0, header.payload_bytes)));
}

PartHeader ScoresHeader(PartTensor tensor, int64_t end, int32_t layer = 0) {
  PartHeader header;
  header.layer = layer;
  header.tensor = tensor;
  header.range = RangeKind::kBytes;
  header.end = end;
  header.payload_bytes = end;
  return header;
}

absl::Status SendChanged(PutDriver& driver, const std::function<void(PartHeader&)>& change) {
  PartHeader header = RowsHeader(driver.request(), 0, 0, 10, 20);
  change(header);
  return Send(driver, header);
}

absl::Status SendSpoiled(PutDriver& driver, const Prompt& prompt, const std::function<void(PromptLayer&)>& spoil) {
  Prompt spoiled = prompt;
  spoil(spoiled[0]);
  if (const absl::Status status = driver.SendLayer(spoiled, 0); !status.ok()) return status;
  return driver.listener().WaitForEnd();
}

void SetFloat(Bytes& bytes, size_t index, float value) { std::memcpy(bytes.data() + 4 * index, &value, 4); }

const float kNan = std::nanf("");
const float kInf = std::numeric_limits<float>::infinity();

const BadPart kBadParts[] = {
    {"LayerNegative", kInvalid, "BAD_LAYER", SmallRequest,
     [](PutDriver& d, const Prompt&) { return SendChanged(d, [](PartHeader& h) { h.layer = -1; }); }},
    {"LayerPastTheLast", kInvalid, "BAD_LAYER", SmallRequest,
     [](PutDriver& d, const Prompt&) { return SendChanged(d, [](PartHeader& h) { h.layer = 3; }); }},
    {"TensorNotInTheLayout", kInvalid, "BAD_TENSOR", SmallRequest,
     [](PutDriver& d, const Prompt&) {
       return SendChanged(d, [](PartHeader& h) { h.tensor = PartTensor::kKeyScales; });
     }},
    {"KeysOfAVerbatimLayer", kInvalid, "BAD_TENSOR", WithVerbatim,
     [](PutDriver& d, const Prompt&) { return SendChanged(d, [](PartHeader& h) { h.layer = 3; }); }},
    {"NamedTensorUnknown", kInvalid, "BAD_TENSOR", WithVerbatim,
     [](PutDriver& d, const Prompt&) {
       PartHeader header = ScoresHeader(PartTensor::kNamed, 10, 3);
       header.name = std::string("../other");
       return Send(d, header);
     }},
    {"ScoresOfAVerbatimLayer", kInvalid, "BAD_TENSOR", WithVerbatim,
     [](PutDriver& d, const Prompt&) { return Send(d, ScoresHeader(PartTensor::kQueries, 10, 3)); }},
    {"ScoresOfAnotherSource", kInvalid, "BAD_TENSOR", SmallRequest,
     [](PutDriver& d, const Prompt&) { return Send(d, ScoresHeader(PartTensor::kTokenScores, 4)); }},
    {"LseNotDeclared", kInvalid, "BAD_TENSOR", SmallRequest,
     [](PutDriver& d, const Prompt&) { return Send(d, ScoresHeader(PartTensor::kLse, 4)); }},
    {"KeptRowsWhereAllAreSent", kInvalid, "RANGE_KIND", SmallRequest,
     [](PutDriver& d, const Prompt&) { return SendChanged(d, [](PartHeader& h) { h.range = RangeKind::kKeptRows; }); }},
    {"BytesOfRows", kInvalid, "RANGE_KIND", SmallRequest,
     [](PutDriver& d, const Prompt&) { return SendChanged(d, [](PartHeader& h) { h.range = RangeKind::kBytes; }); }},
    {"TokensOfScores", kInvalid, "RANGE_KIND", SmallRequest,
     [](PutDriver& d, const Prompt&) {
       PartHeader header = ScoresHeader(PartTensor::kQueries, 4);
       header.range = RangeKind::kTokens;
       return Send(d, header);
     }},
    {"TokensWhereRowsWereSelected", kInvalid, "RANGE_KIND", Selecting,
     [](PutDriver& d, const Prompt&) { return SendChanged(d, [](PartHeader&) {}); }},
    {"KeptRowsBeforeTheSelection", kPrecondition, "NOT_SELECTED", Selecting,
     [](PutDriver& d, const Prompt&) { return SendChanged(d, [](PartHeader& h) { h.range = RangeKind::kKeptRows; }); }},
    {"RangeNegative", kInvalid, "BAD_RANGE", SmallRequest,
     [](PutDriver& d, const Prompt&) { return SendChanged(d, [](PartHeader& h) { h.begin = -1; }); }},
    {"RangeReversed", kInvalid, "BAD_RANGE", SmallRequest,
     [](PutDriver& d, const Prompt&) { return SendChanged(d, [](PartHeader& h) { h.end = 5; }); }},
    {"RangePastTheEnd", kInvalid, "BAD_RANGE", SmallRequest,
     [](PutDriver& d, const Prompt&) { return SendChanged(d, [](PartHeader& h) { h.end = 97; }); }},
    {"RangeHuge", kInvalid, "BAD_RANGE", SmallRequest,
     [](PutDriver& d, const Prompt&) {
       return SendChanged(d, [](PartHeader& h) { h.end = std::numeric_limits<int64_t>::max(); });
     }},
    {"EmptyPart", kInvalid, "EMPTY_PART", SmallRequest,
     [](PutDriver& d, const Prompt&) {
       return SendChanged(d, [](PartHeader& h) {
         h.end = h.begin;
         h.payload_bytes = 0;
       });
     }},
    {"BytesTooMany", kInvalid, "PART_SIZE", SmallRequest,
     [](PutDriver& d, const Prompt&) { return SendChanged(d, [](PartHeader& h) { ++h.payload_bytes; }); }},
    {"BytesTooFew", kInvalid, "PART_SIZE", SmallRequest,
     [](PutDriver& d, const Prompt&) { return SendChanged(d, [](PartHeader& h) { --h.payload_bytes; }); }},
    {"PartTooLarge", kInvalid, "PART_TOO_LARGE",
     [] {
       PutRequest request = WithVerbatim();
       request.layout[1].named_tensors[0].size_bytes = 4 << 20;
       return request;
     },
     [](PutDriver& d, const Prompt&) {
       PartHeader header = ScoresHeader(PartTensor::kNamed, (2 << 20) + 1, 3);
       header.name = std::string("conv_state");
       return Send(d, header);
     }},
    {"PartTwice", kInvalid, "PARTS_OVERLAP", SmallRequest,
     [](PutDriver& d, const Prompt& p) {
       EXPECT_TRUE(d.SendRows(p, 0, 0, 0, 50).ok());
       return d.SendRows(p, 0, 0, 0, 50);
     }},
    {"PartsOverlap", kInvalid, "PARTS_OVERLAP", SmallRequest,
     [](PutDriver& d, const Prompt& p) {
       EXPECT_TRUE(d.SendRows(p, 0, 0, 0, 50).ok());
       return d.SendRows(p, 0, 0, 49, 96);
     }},
    {"ScoresTwice", kInvalid, "PARTS_OVERLAP", SmallRequest,
     [](PutDriver& d, const Prompt& p) {
       EXPECT_TRUE(d.SendScores(p, 0).ok());
       return d.SendScores(p, 0);
     }},
    {"MoreScoresThanThePast", kInvalid, "BAD_RANGE", FromScores,
     [](PutDriver& d, const Prompt&) { return Send(d, ScoresHeader(PartTensor::kTokenScores, 4 * 96)); }},
    {"ScoresAfterTheSelection", kInvalid, "AFTER_SELECTION", Selecting,
     [](PutDriver& d, const Prompt& p) {
       EXPECT_TRUE(d.SendScores(p, 0).ok());
       EXPECT_TRUE(d.listener().WaitForSelection(0).has_value());
       return d.SendScores(p, 0);
     }},
    {"LayersDecrease", kInvalid, "ORDER", SmallRequest,
     [](PutDriver& d, const Prompt& p) {
       EXPECT_TRUE(d.SendRows(p, 1, 0, 0, 50).ok());
       return d.SendRows(p, 0, 0, 0, 50);
     }},
    {"ChecksumWrong", kInvalid, "PART_CHECKSUM", SmallRequest,
     [](PutDriver& d, const Prompt&) {
       const auto placement = d.session().PlacePart(0, RowsHeader(d.request(), 0, 0, 0, 96), [] {});
       return d.session().FinishPart(placement->ticket, false);
     }},
    {"ClosedStream", kPrecondition, "STREAM_CLOSED", SmallRequest,
     [](PutDriver& d, const Prompt& p) {
       d.session().CloseStream(0);
       return d.SendRows(p, 0, 0, 0, 50);
     }},
    {"UnknownStream", kPrecondition, "STREAM_CLOSED", SmallRequest,
     [](PutDriver& d, const Prompt& p) { return d.SendRows(p, 0, 0, 0, 50, 7); }},
    {"NothingCame", kInvalid, "LAYER_MISSING", SmallRequest,
     [](PutDriver& d, const Prompt&) { return d.CommitAndWait(); }},
    {"LayerMissing", kInvalid, "LAYER_MISSING", SmallRequest,
     [](PutDriver& d, const Prompt& p) {
       EXPECT_TRUE(d.SendLayer(p, 0).ok());
       EXPECT_TRUE(d.SendLayer(p, 2).ok());
       return d.CommitAndWait();
     }},
    {"RowsMissing", kInvalid, "GAP", AnyOrder,
     [](PutDriver& d, const Prompt& p) {
       for (int32_t layer = 0; layer < 3; ++layer) {
         EXPECT_TRUE(d.SendScores(p, layer).ok());
         EXPECT_TRUE(d.SendRows(p, layer, 0, 0, 96).ok());
         EXPECT_TRUE(d.SendRows(p, layer, 1, 0, 40).ok());
         EXPECT_TRUE(d.SendRows(p, layer, 1, layer == 1 ? 41 : 40, 96).ok());
       }
       return d.CommitAndWait();
     }},
    {"QueriesMissing", kInvalid, "SCORES_MISSING", SmallRequest,
     [](PutDriver& d, const Prompt& p) {
       EXPECT_TRUE(d.SendRows(p, 0, 0, 0, 96).ok());
       EXPECT_TRUE(d.SendRows(p, 0, 1, 0, 96).ok());
       return d.CommitAndWait();
     }},
    {"CommitTwice", kInvalid, "AFTER_COMMIT", SmallRequest,
     [](PutDriver& d, const Prompt&) {
       EXPECT_TRUE(d.session().OpenStream().ok());  // which could still bring what is missing
       d.session().Commit(std::nullopt);
       return d.CommitAndWait();
     }},
    {"PartAfterCommit", kInvalid, "AFTER_COMMIT", SmallRequest,
     [](PutDriver& d, const Prompt& p) {
       EXPECT_TRUE(d.session().OpenStream().ok());
       d.session().Commit(std::nullopt);
       return d.SendRows(p, 0, 0, 0, 96);
     }},
    {"PositionsOfAnotherPolicy", kInvalid, "POSITIONS_UNEXPECTED", SmallRequest,
     [](PutDriver& d, const Prompt&) {
       return d.session().SetPositions(0, {0, 1, 2, 3});
     }},
    {"PositionsTwice", kInvalid, "POSITIONS_UNEXPECTED", ExternalRequest,
     [](PutDriver& d, const Prompt&) {
       EXPECT_TRUE(d.session().SetPositions(0, {0, 1, 2, 3}).ok());
       return d.session().SetPositions(0, {0, 1, 2, 3});
     }},
    {"PositionsOfNoGroup", kInvalid, "BAD_GROUP", ExternalRequest,
     [](PutDriver& d, const Prompt&) {
       return d.session().SetPositions(3, {0, 1, 2, 3});
     }},
    {"PositionsTooFew", kInvalid, "BAD_POSITION_COUNT", ExternalRequest,
     [](PutDriver& d, const Prompt&) {
       return d.session().SetPositions(0, {0, 1, 2});
     }},
    {"PositionsUnsorted", kInvalid, "BAD_POSITIONS", ExternalRequest,
     [](PutDriver& d, const Prompt&) {
       return d.session().SetPositions(0, {0, 2, 1, 3});
     }},
    {"PositionsRepeated", kInvalid, "BAD_POSITIONS", ExternalRequest,
     [](PutDriver& d, const Prompt&) {
       return d.session().SetPositions(0, {0, 1, 1, 3});
     }},
    {"PositionsNegative", kInvalid, "BAD_POSITIONS", ExternalRequest,
     [](PutDriver& d, const Prompt&) {
       return d.session().SetPositions(0, {-1, 1, 2, 3});
     }},
    {"PositionsPastTheEnd", kInvalid, "BAD_POSITIONS", ExternalRequest,
     [](PutDriver& d, const Prompt&) {
       return d.session().SetPositions(0, {0, 1, 2, 96});
     }},
    {"RowsBeforeTheirPositions", kInvalid, "POSITIONS_MISSING", ExternalRequest,
     [](PutDriver& d, const Prompt& p) {
       EXPECT_TRUE(d.session().SetPositions(0, {0, 1, 2, 3}).ok());
       return d.SendKeptRows(p, 1, 0, {0, 1, 2, 3}, 0, 4);
     }},
    {"PositionsMissing", kInvalid, "POSITIONS_MISSING", ExternalRequest,
     [](PutDriver& d, const Prompt&) { return d.CommitAndWait(); }},
    {"NanInQueries", kInvalid, "NON_FINITE_INPUT", SmallRequest,
     [](PutDriver& d, const Prompt& p) {
       return SendSpoiled(d, p, [](PromptLayer& l) { SetFloat(l.queries, 3, kNan); });
     }},
    {"InfInKeys", kInvalid, "NON_FINITE_INPUT", SmallRequest,
     [](PutDriver& d, const Prompt& p) {
       return SendSpoiled(d, p, [](PromptLayer& l) { SetFloat(l.tensors[0], 5, -kInf); });
     }},
    {"NanInScores", kInvalid, "NON_FINITE_INPUT", FromScores,
     [](PutDriver& d, const Prompt& p) {
       return SendSpoiled(d, p, [](PromptLayer& l) { SetFloat(l.token_scores, 5, kNan); });
     }},
    {"NegativeScores", kInvalid, "NEGATIVE_SCORES", FromScores,
     [](PutDriver& d, const Prompt& p) {
       return SendSpoiled(d, p, [](PromptLayer& l) { SetFloat(l.token_scores, 5, -1); });
     }},
    {"DigestOfDroppedRowsAtCommit", kUnimplemented, "CONTENT_DIGEST",
     [] {
       PutRequest request = SmallRequest();
       request.spec.policy = Policy::kStreamingLlm;
       return request;
     },
     [](PutDriver& d, const Prompt& p) {
       for (int32_t layer = 0; layer < 3; ++layer) EXPECT_TRUE(d.SendLayer(p, layer).ok());
       return d.CommitAndWait(Bytes16{});
     }},
};

INSTANTIATE_TEST_SUITE_P(Parts, PutBadPartTest, testing::ValuesIn(kBadParts),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(PutBadPartTest, NamesTheLayerOfTheShardThatIsNotFinite) {
  PutRequest request = SmallRequest();
  request.layout = {VerbatimLayers(0, 2), AttentionLayers(2, 3)};
  Prompt prompt = MakePrompt(request);
  SetFloat(prompt[3].queries, 0, kInf);
  PutDriver driver;
  const absl::Status status = driver.Put(request, prompt);
  EXPECT_EQ(StatusReason(status), "NON_FINITE_INPUT");
  EXPECT_EQ(std::string(status.message()).find("layer 3: "), 0u) << status;
}

TEST(PutBadPartTest, TakesNonFiniteRowsThatAreNotScored) {
  PutRequest request = SmallRequest();
  request.spec.reuse_group = 3;
  Prompt prompt = MakePrompt(request);
  SetFloat(prompt[0].tensors[1], 0, kNan);
  SetFloat(prompt[1].tensors[0], 0, kInf);
  PutDriver driver;
  EXPECT_TRUE(driver.Put(request, prompt).ok());
}

// Only of what may become the entry: never of what is staged meanwhile.
TEST(PutBadRequestTest, LimitsTheLargestEntryThatMayCome) {
  StoreOptions options;
  options.max_entry_bytes = 16 << 10;
  const FakeClock clock;
  EntryStore store(options, clock);
  const auto compactor = MakeReferenceCompactor();
  Executor executor(1);
  RecordingListener listener;
  const auto begin = [&](const PutRequest& request) {
    return StatusReason(
        PutSession::Create(request, SessionLimits(), store, *compactor, executor, clock, &listener).status());
  };
  PutRequest request = SmallRequest();
  EXPECT_GT(FullBytes(request.layout, 96), options.max_entry_bytes);
  EXPECT_EQ(begin(request), "");
  request.spec.min_retained_mass = 0.5;
  request.spec.on_low_mass = OnLowMass::kRaiseBudget;
  request.spec.max_raised_tokens = 45;
  EXPECT_EQ(begin(request), "");
  request.spec.max_raised_tokens = 96;
  EXPECT_EQ(begin(request), "ENTRY_TOO_LARGE");
  request.spec.max_raised_tokens.reset();
  request.spec.on_low_mass = OnLowMass::kKeepFull;
  EXPECT_EQ(begin(request), "ENTRY_TOO_LARGE");
  request = SmallRequest();
  request.spec.max_tokens = 80;
  EXPECT_EQ(begin(request), "ENTRY_TOO_LARGE");
}

TEST(PutBadPartTest, LimitsOpenStreams) {
  SessionLimits limits;
  limits.max_streams = 3;
  PutDriver driver(int64_t{1} << 20, limits);
  ASSERT_TRUE(driver.Begin(SmallRequest()).ok());
  const int32_t second = driver.session().OpenStream().value();
  ASSERT_TRUE(driver.session().OpenStream().ok());
  EXPECT_EQ(StatusReason(driver.session().OpenStream().status()), "TOO_MANY_STREAMS");
  driver.session().CloseStream(second);
  EXPECT_TRUE(driver.session().OpenStream().ok());
}

TEST(PutBadPartTest, LimitsPartsWithGapsBetween) {
  PutRequest request = SmallRequest();
  request.order = PartOrder::kAny;
  request.token_count = 9000;
  PutDriver driver;
  ASSERT_TRUE(driver.Begin(request).ok());
  absl::Status status;
  int64_t token = 0;
  for (; status.ok() && token < 9000; token += 2) {
    PartHeader header = RowsHeader(request, 0, 0, token, token + 1);
    status = driver.SendPart(0, header, Bytes(header.payload_bytes));
  }
  EXPECT_EQ(StatusReason(status), "TOO_MANY_GAPS");
  EXPECT_EQ(token, 2 * 4097);
}

TEST(PutBadPartTest, LimitsPartsWithGapsBetweenOverAllTensors) {
  PutRequest request = SmallRequest();
  request.order = PartOrder::kAny;
  request.token_count = 9000;
  PutDriver driver;
  ASSERT_TRUE(driver.Begin(request).ok());
  absl::Status status;
  int64_t parts = 0;
  for (int32_t tensor = 0; status.ok() && tensor < 6; ++tensor) {
    for (int64_t token = 0; status.ok() && token < 2 * 4096; token += 2) {
      PartHeader header = RowsHeader(request, tensor / 2, tensor % 2, token, token + 1);
      status = driver.SendPart(0, header, Bytes(header.payload_bytes));
      ++parts;
    }
  }
  EXPECT_EQ(StatusReason(status), "TOO_MANY_GAPS");
  EXPECT_EQ(parts, 16'384 + 5 + 1);
}

}  // namespace
}  // namespace chunkkv
