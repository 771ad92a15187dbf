// What a put gets that goes wrong after its Begin, through the real stack.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "service/format/digest.h"
#include "service/rpc/wire_bytes.h"
#include "tests/integration/bad_input.h"
#include "tests/support/put_client.h"

namespace chunkkv {
namespace {

class BadStreamTest : public testing::TestWithParam<BadInput> {};

TEST_P(BadStreamTest, IsRefusedByName) { ExpectRefused(GetParam()); }

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

PutRequest FromAttention() {
  PutRequest request = SmallRequest();
  request.score_source = ScoreSource::kAttention;
  return request;
}

PutRequest WithLse() {
  PutRequest request = SmallRequest();
  request.has_lse = true;
  return request;
}

PutRequest InBf16() {
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, 3, SmallAttention(DType::kBF16))};
  return request;
}

PutRequest Selecting() {
  PutRequest request = FromScores();
  request.send_mode = SendMode::kSelectThenSend;
  return request;
}

PutRequest ExternalRequest() {
  PutRequest request = SmallRequest();
  request.spec = CompactionSpec();
  request.spec.policy = Policy::kExternal;
  request.spec.label = std::string("by hand");
  request.score_source = ScoreSource::kNone;
  request.group_row_counts = {4, 4, 4};
  return request;
}

PutRequest WithVerbatim() {
  PutRequest request = SmallRequest();
  request.layout.push_back(VerbatimLayers(3, 1));
  request.model.layer_count = request.shard.layer_count = 4;
  return request;
}

// What is sent after a good Begin of `request`; the call ends by itself.
using Script = std::function<void(PutClient&, const PutRequest&, const Prompt&)>;

std::function<RpcEnd(TestServer&)> After(PutRequest (*request_of)(), Script script) {
  return [request_of, script = std::move(script)](TestServer& server) {
    const PutRequest request = request_of();
    const Prompt prompt = MakePrompt(request);
    PutClient client(server.channel());
    EXPECT_TRUE(client.Begin(request).has_value());
    script(client, request, prompt);
    return client.Finish();
  };
}

std::function<RpcEnd(TestServer&)> SmallAfter(Script script) { return After(SmallRequest, std::move(script)); }

// A part of layer 0's keys, tokens [10, 20), changed; with as many bytes as its header says.
std::function<RpcEnd(TestServer&)> ChangedPart(PutRequest (*request_of)(), std::function<void(PartHeader&)> change) {
  return After(request_of, [change = std::move(change)](PutClient& client, const PutRequest& request, const Prompt&) {
    PartHeader header = RowsPart(request, 0, 0, 10, 20);
    header.payload_bytes = 10 * 2 * 8 * 4;
    change(header);
    client.SendPart(header, Bytes(header.payload_bytes));
  });
}

// A part on the wire, changed after its checksum was made.
std::function<RpcEnd(TestServer&)> ChangedWire(std::function<void(v1::PutCacheRequest&)> change) {
  return SmallAfter([change = std::move(change)](PutClient& client, const PutRequest& request, const Prompt&) {
    v1::PutCacheRequest message = InlinePart(RowsPart(request, 0, 0, 10, 20), Bytes(10 * 2 * 8 * 4));
    change(message);
    client.Send(message);
  });
}

// Bytes before any Begin.
std::function<RpcEnd(TestServer&)> First(std::function<void(PutClient&)> send) {
  return [send = std::move(send)](TestServer& server) {
    PutClient client(server.channel());
    send(client);
    return client.Finish();
  };
}

void SetFloat(Bytes& bytes, size_t index, float value) { std::memcpy(bytes.data() + 4 * index, &value, 4); }

Script SpoiledLayer(std::function<void(PromptLayer&)> spoil) {
  return [spoil = std::move(spoil)](PutClient& client, const PutRequest& request, const Prompt& prompt) {
    Prompt spoiled = prompt;
    spoil(spoiled[0]);
    client.SendLayer(request, spoiled, 0, 1 << 20);
  };
}

PartHeader ScoresPart(PartTensor tensor, int64_t size_bytes, int32_t layer = 0) {
  PartHeader header;
  header.layer = layer;
  header.tensor = tensor;
  header.range = RangeKind::kBytes;
  header.end = size_bytes;
  return header;
}

const float kNan = std::nanf("");
const float kInf = std::numeric_limits<float>::infinity();

const BadInput kOrders[] = {
    {"FirstMessageIsAPart", kInvalid, "FIRST_MESSAGE",
     First([](PutClient& c) { c.SendPart(RowsPart(SmallRequest(), 0, 0, 0, 1), Bytes(64)); })},
    {"FirstMessageIsACommit", kInvalid, "FIRST_MESSAGE", First([](PutClient& c) { c.SendCommit(); })},
    {"FirstMessageIsUnset", kInvalid, "FIRST_MESSAGE", First([](PutClient& c) { c.Send(v1::PutCacheRequest()); })},
    {"FirstMessageIsNoProtobuf", kInvalid, "MALFORMED_MESSAGE",
     First([](PutClient& c) { c.stream().Send(std::string("\xff\xff\xff\xff\xff not a message")); })},
    {"FirstMessageEndsEarly", kInvalid, "MALFORMED_MESSAGE", First([](PutClient& c) {
       v1::PutCacheRequest message;
       *message.mutable_begin() = BeginOf(SmallRequest());
       std::string bytes = message.SerializeAsString();
       bytes.pop_back();
       c.stream().Send(bytes);
     })},
    {"NoMessage", kInvalid, "NO_MESSAGE", First([](PutClient& c) { c.stream().HalfClose(); })},
    {"AttachToNoSession", kNotFound, "SESSION_NOT_FOUND", First([](PutClient& c) { c.Attach(std::string(16, 's')); })},
    {"AttachIdOfAnotherLength", kInvalid, "BAD_SESSION_ID", First([](PutClient& c) { c.Attach("session"); })},
    {"AttachToAFinishedSession", kNotFound, "SESSION_NOT_FOUND",
     [](TestServer& server) {
       const PutRequest request = SmallRequest();
       const PutResult put = PutAll(server.channel(), request, MakePrompt(request));
       EXPECT_TRUE(put.committed.has_value());
       PutClient client(server.channel());
       client.Attach(put.begun->session_id());
       return client.Finish();
     }},
    {"BeginTwice", kInvalid, "BEGIN_TWICE", SmallAfter([](PutClient& c, const PutRequest& r, const Prompt&) {
       v1::PutCacheRequest message;
       *message.mutable_begin() = BeginOf(r);
       c.Send(message);
     })},
    {"AttachAsASecondMessage", kInvalid, "BEGIN_TWICE",
     SmallAfter([](PutClient& c, const PutRequest&, const Prompt&) { c.Attach(std::string(16, 's')); })},
    {"UnsetMessage", kInvalid, "EMPTY_MESSAGE",
     SmallAfter([](PutClient& c, const PutRequest&, const Prompt&) { c.Send(v1::PutCacheRequest()); })},
    {"MalformedMessage", kInvalid, "MALFORMED_MESSAGE",
     SmallAfter([](PutClient& c, const PutRequest&, const Prompt&) { c.stream().Send(std::string("\x7a\x7f\x01")); })},
    {"LayersDecrease", kInvalid, "ORDER", SmallAfter([](PutClient& c, const PutRequest& r, const Prompt& p) {
       c.SendRows(r, p, 1, 0, 0, 50);
       c.SendRows(r, p, 0, 0, 0, 50);
     })},
    {"CutBeforeCommit", kInvalid, "NO_COMMIT", SmallAfter([](PutClient& c, const PutRequest& r, const Prompt& p) {
       c.SendLayer(r, p, 0, 96);
       c.stream().HalfClose();
     })},
    {"NothingBeforeCommit", kInvalid, "LAYER_MISSING",
     SmallAfter([](PutClient& c, const PutRequest&, const Prompt&) { c.SendCommit(); })},
    {"LayerMissingAtCommit", kInvalid, "LAYER_MISSING",
     SmallAfter([](PutClient& c, const PutRequest& r, const Prompt& p) {
       c.SendLayer(r, p, 0, 96);
       c.SendLayer(r, p, 2, 96);
       c.SendCommit();
     })},
    {"GapAtCommit", kInvalid, "GAP",
     After(AnyOrder,
           [](PutClient& c, const PutRequest& r, const Prompt& p) {
             for (int32_t layer = 0; layer < 3; ++layer) {
               c.SendScores(r, p, layer);
               c.SendRows(r, p, layer, 0, 0, 96);
               c.SendRows(r, p, layer, 1, layer, 96);
             }
             c.SendCommit();
           })},
    {"QueriesMissingAtCommit", kInvalid, "SCORES_MISSING",
     SmallAfter([](PutClient& c, const PutRequest& r, const Prompt& p) {
       for (size_t tensor = 0; tensor < 2; ++tensor) c.SendRows(r, p, 0, tensor, 0, 96);
       c.SendCommit();
     })},
    {"PartAfterCommit", kInvalid, "AFTER_COMMIT", SmallAfter([](PutClient& c, const PutRequest& r, const Prompt& p) {
       for (int32_t layer = 0; layer < 3; ++layer) c.SendLayer(r, p, layer, 96);
       v1::PutCacheRequest commit;
       commit.mutable_commit();
       c.Send(commit);
       c.SendRows(r, p, 2, 0, 0, 1);
     })},
    {"CommitTwice", kInvalid, "AFTER_COMMIT", SmallAfter([](PutClient& c, const PutRequest& r, const Prompt& p) {
       for (int32_t layer = 0; layer < 3; ++layer) c.SendLayer(r, p, layer, 96);
       v1::PutCacheRequest commit;
       commit.mutable_commit();
       c.Send(commit);
       c.Send(commit);
     })},
    {"EntryDigestWrong", kInvalid, "CONTENT_DIGEST", SmallAfter([](PutClient& c, const PutRequest& r, const Prompt& p) {
       for (int32_t layer = 0; layer < 3; ++layer) c.SendLayer(r, p, layer, 96);
       c.SendCommit(std::string(16, 'd'));
     })},
    {"CommitDigestShort", kInvalid, "BAD_CONTENT_DIGEST",
     SmallAfter([](PutClient& c, const PutRequest&, const Prompt&) { c.SendCommit("short"); })},
};
INSTANTIATE_TEST_SUITE_P(Orders, BadStreamTest, testing::ValuesIn(kOrders), NameOfRow);

const BadInput kParts[] = {
    {"LayerNegative", kInvalid, "BAD_LAYER", ChangedPart(SmallRequest, [](PartHeader& h) { h.layer = -1; })},
    {"LayerPastTheLast", kInvalid, "BAD_LAYER", ChangedPart(SmallRequest, [](PartHeader& h) { h.layer = 3; })},
    {"TensorUnset", kInvalid, "BAD_TENSOR", ChangedWire([](auto& m) { m.mutable_part()->clear_tensor(); })},
    {"TensorUnknown", kInvalid, "BAD_TENSOR",
     ChangedWire([](auto& m) { m.mutable_part()->set_tensor(static_cast<v1::TensorKind>(99)); })},
    {"TensorNotInTheLayout", kInvalid, "BAD_TENSOR",
     ChangedPart(SmallRequest, [](PartHeader& h) { h.tensor = PartTensor::kKeyScales; })},
    {"RowsOfAVerbatimLayer", kInvalid, "BAD_TENSOR", ChangedPart(WithVerbatim, [](PartHeader& h) { h.layer = 3; })},
    {"NameOfATensorThatHasNone", kInvalid, "BAD_TENSOR",
     ChangedWire([](auto& m) { m.mutable_part()->set_name("../keys"); })},
    {"NamedTensorUnknown", kInvalid, "BAD_TENSOR",
     ChangedPart(WithVerbatim,
                 [](PartHeader& h) {
                   h.layer = 3;
                   h.tensor = PartTensor::kNamed;
                   h.name = std::string("../other");
                   h.range = RangeKind::kBytes;
                 })},
    {"RangeKindUnset", kInvalid, "BAD_RANGE_KIND", ChangedWire([](auto& m) { m.mutable_part()->clear_range(); })},
    {"RangeKindUnknown", kInvalid, "BAD_RANGE_KIND",
     ChangedWire([](auto& m) { m.mutable_part()->set_range(static_cast<v1::RangeKind>(99)); })},
    {"RangeNegative", kInvalid, "BAD_RANGE", ChangedPart(SmallRequest, [](PartHeader& h) { h.begin = -1; })},
    {"RangeReversed", kInvalid, "BAD_RANGE", ChangedPart(SmallRequest, [](PartHeader& h) { h.end = 5; })},
    {"RangePastTheEnd", kInvalid, "BAD_RANGE", ChangedPart(SmallRequest, [](PartHeader& h) { h.end = 97; })},
    {"RangeHuge", kInvalid, "BAD_RANGE",
     ChangedPart(SmallRequest, [](PartHeader& h) { h.end = std::numeric_limits<int64_t>::max(); })},
    {"EmptyPart", kInvalid, "EMPTY_PART",
     ChangedPart(SmallRequest,
                 [](PartHeader& h) {
                   h.end = h.begin;
                   h.payload_bytes = 0;
                 })},
    {"BytesBeyondTheDeclared", kInvalid, "PART_SIZE",
     ChangedPart(SmallRequest, [](PartHeader& h) { ++h.payload_bytes; })},
    {"BytesMissing", kInvalid, "PART_SIZE", ChangedPart(SmallRequest, [](PartHeader& h) { --h.payload_bytes; })},
    {"OddBytesOfSixteenBitRows", kInvalid, "PART_SIZE",
     ChangedPart(InBf16, [](PartHeader& h) { h.payload_bytes = 10 * 2 * 8 * 2 - 1; })},
    {"InlineAboveTwoMebibytes", kInvalid, "PART_TOO_LARGE",
     ChangedPart(SmallRequest, [](PartHeader& h) { h.payload_bytes = (2 << 20) + 1; })},
    {"MessageAboveEightMebibytes", kExhausted, "",
     ChangedPart(SmallRequest, [](PartHeader& h) { h.payload_bytes = (8 << 20) + 1; })},
    {"ChecksumWrong", kInvalid, "PART_CHECKSUM",
     ChangedWire([](auto& m) { m.mutable_part()->mutable_payload()->set_checksum(1); })},
    {"ChecksumUnset", kInvalid, "PART_CHECKSUM",
     ChangedWire([](auto& m) { m.mutable_part()->mutable_payload()->clear_checksum(); })},
    {"CarrierUnset", kInvalid, "CARRIER_UNSET",
     ChangedWire([](auto& m) { m.mutable_part()->mutable_payload()->clear_carrier(); })},
    {"PayloadUnset", kInvalid, "CARRIER_UNSET", ChangedWire([](auto& m) { m.mutable_part()->clear_payload(); })},
    {"PartTwice", kInvalid, "PARTS_OVERLAP", SmallAfter([](PutClient& c, const PutRequest& r, const Prompt& p) {
       c.SendRows(r, p, 0, 0, 0, 50);
       c.SendRows(r, p, 0, 0, 0, 50);
     })},
    {"PartsOverlap", kInvalid, "PARTS_OVERLAP", SmallAfter([](PutClient& c, const PutRequest& r, const Prompt& p) {
       c.SendRows(r, p, 0, 0, 0, 50);
       c.SendRows(r, p, 0, 0, 49, 96);
     })},
    {"ScoresOfAnotherSource", kInvalid, "BAD_TENSOR", SmallAfter([](PutClient& c, const PutRequest&, const Prompt&) {
       c.SendPart(ScoresPart(PartTensor::kTokenScores, 4), Bytes(4));
     })},
    {"MoreScoresThanThePast", kInvalid, "BAD_RANGE",
     After(FromScores, [](PutClient& c, const PutRequest&,
                          const Prompt&) { c.SendPart(ScoresPart(PartTensor::kTokenScores, 4 * 96), Bytes(4 * 96)); })},
    {"FewerScoresThanThePast", kInvalid, "GAP",
     After(FromScores,
           [](PutClient& c, const PutRequest& r, const Prompt& p) {
             c.SendPart(ScoresPart(PartTensor::kTokenScores, 4 * 87), Bytes(4 * 87));
             for (size_t tensor = 0; tensor < 2; ++tensor) c.SendRows(r, p, 0, tensor, 0, 96);
             c.SendCommit();
           })},
    {"NanInQueries", kInvalid, "NON_FINITE_INPUT",
     SmallAfter(SpoiledLayer([](PromptLayer& l) { SetFloat(l.queries, 3, kNan); }))},
    {"InfInKeys", kInvalid, "NON_FINITE_INPUT",
     SmallAfter(SpoiledLayer([](PromptLayer& l) { SetFloat(l.tensors[0], 5, -kInf); }))},
    {"InfInQueries", kInvalid, "NON_FINITE_INPUT",
     SmallAfter(SpoiledLayer([](PromptLayer& l) { SetFloat(l.queries, 3, kInf); }))},
    {"NanInKeys", kInvalid, "NON_FINITE_INPUT",
     SmallAfter(SpoiledLayer([](PromptLayer& l) { SetFloat(l.tensors[0], 5, kNan); }))},
    {"LogitsOverflow", kInvalid, "NON_FINITE_INPUT", SmallAfter(SpoiledLayer([](PromptLayer& l) {
       SetFloat(l.queries, 0, 1e30F);
       SetFloat(l.tensors[0], 0, 1e30F);
     }))},
    {"NanInLse", kInvalid, "NON_FINITE_INPUT",
     After(WithLse, SpoiledLayer([](PromptLayer& l) { SetFloat(l.lse, 3, kNan); }))},
    {"InfInLse", kInvalid, "NON_FINITE_INPUT",
     After(WithLse, SpoiledLayer([](PromptLayer& l) { SetFloat(l.lse, 3, -kInf); }))},
    {"NanInAttention", kInvalid, "NON_FINITE_INPUT",
     After(FromAttention, SpoiledLayer([](PromptLayer& l) { SetFloat(l.attention, 3, kNan); }))},
    {"InfInAttention", kInvalid, "NON_FINITE_INPUT",
     After(FromAttention, SpoiledLayer([](PromptLayer& l) { SetFloat(l.attention, 3, kInf); }))},
    {"NegativeAttention", kInvalid, "NEGATIVE_SCORES",
     After(FromAttention, SpoiledLayer([](PromptLayer& l) { SetFloat(l.attention, 3, -0.25F); }))},
    {"InfInScores", kInvalid, "NON_FINITE_INPUT",
     After(FromScores, SpoiledLayer([](PromptLayer& l) { SetFloat(l.token_scores, 5, kInf); }))},
    {"NanInScores", kInvalid, "NON_FINITE_INPUT",
     After(FromScores, SpoiledLayer([](PromptLayer& l) { SetFloat(l.token_scores, 5, kNan); }))},
    {"NegativeScores", kInvalid, "NEGATIVE_SCORES",
     After(FromScores, SpoiledLayer([](PromptLayer& l) { SetFloat(l.token_scores, 5, -1); }))},
    {"LowRetainedMass", kPrecondition, "LOW_RETAINED_MASS",
     After(
         [] {
           PutRequest request = SmallRequest();
           request.spec.min_retained_mass = 0.9999;
           return request;
         },
         [](PutClient& c, const PutRequest& r, const Prompt& p) {
           for (int32_t layer = 0; layer < 3; ++layer) c.SendLayer(r, p, layer, 96);
           c.SendCommit();
         })},
};
INSTANTIATE_TEST_SUITE_P(Parts, BadStreamTest, testing::ValuesIn(kParts), NameOfRow);

const BadInput kSelectedRows[] = {
    {"TokensWhereRowsWereSelected", kInvalid, "RANGE_KIND", ChangedPart(Selecting, [](PartHeader&) {})},
    {"KeptRowsWhereAllAreSent", kInvalid, "RANGE_KIND",
     ChangedPart(SmallRequest, [](PartHeader& h) { h.range = RangeKind::kKeptRows; })},
    {"KeptRowsBeforeTheSelection", kPrecondition, "NOT_SELECTED",
     ChangedPart(Selecting, [](PartHeader& h) { h.range = RangeKind::kKeptRows; })},
    {"ScoresAfterTheSelection", kInvalid, "AFTER_SELECTION",
     After(Selecting,
           [](PutClient& c, const PutRequest& r, const Prompt& p) {
             c.SendScores(r, p, 0);
             EXPECT_TRUE(c.ReceiveSelection(0).has_value());
             c.SendScores(r, p, 0);
           })},
    {"QueriesAfterTheSelection", kInvalid, "AFTER_SELECTION",
     SmallAfter([](PutClient& c, const PutRequest& r, const Prompt& p) {
       c.SendLayer(r, p, 0, 96);
       EXPECT_TRUE(c.ReceiveSelection(0).has_value());
       c.SendScores(r, p, 0);
     })},
    {"MoreRowsThanSelected", kInvalid, "BAD_RANGE",
     After(Selecting,
           [](PutClient& c, const PutRequest& r, const Prompt& p) {
             c.SendScores(r, p, 0);
             EXPECT_TRUE(c.ReceiveSelection(0).has_value());
             std::vector<int32_t> positions(41);
             for (int32_t i = 0; i < 41; ++i) positions[i] = i;
             c.SendKeptRows(r, p, 0, 0, positions, 0, 41);
           })},
    {"FewerRowsThanSelected", kInvalid, "GAP",
     After(Selecting,
           [](PutClient& c, const PutRequest& r, const Prompt& p) {
             for (int32_t layer = 0; layer < 3; ++layer) c.SendScores(r, p, layer);
             for (int32_t layer = 0; layer < 3; ++layer) {
               const auto selection = c.ReceiveSelection(layer);
               ASSERT_TRUE(selection.has_value());
               const std::vector<int32_t> positions(selection->positions().begin(), selection->positions().end());
               for (size_t tensor = 0; tensor < 2; ++tensor) c.SendKeptRows(r, p, layer, tensor, positions, 0, 39);
             }
             c.SendCommit();
           })},
    {"PositionsOfAnotherPolicy", kInvalid, "POSITIONS_UNEXPECTED",
     SmallAfter([](PutClient& c, const PutRequest&, const Prompt&) {
       c.SendPositions(0, {0, 1, 2, 3});
     })},
    {"PositionsTwice", kInvalid, "POSITIONS_UNEXPECTED",
     After(ExternalRequest,
           [](PutClient& c, const PutRequest&, const Prompt&) {
             c.SendPositions(0, {0, 1, 2, 3});
             c.SendPositions(0, {0, 1, 2, 3});
           })},
    {"PositionsOfNoGroup", kInvalid, "BAD_GROUP",
     After(ExternalRequest,
           [](PutClient& c, const PutRequest&, const Prompt&) {
             c.SendPositions(3, {0, 1, 2, 3});
           })},
    {"PositionsTooFew", kInvalid, "BAD_POSITION_COUNT",
     After(ExternalRequest,
           [](PutClient& c, const PutRequest&, const Prompt&) {
             c.SendPositions(0, {0, 1, 2});
           })},
    {"PositionsTooMany", kInvalid, "BAD_POSITION_COUNT",
     After(ExternalRequest,
           [](PutClient& c, const PutRequest&, const Prompt&) {
             c.SendPositions(0, {0, 1, 2, 3, 4});
           })},
    {"PositionsOfANegativeGroup", kInvalid, "BAD_GROUP",
     After(ExternalRequest,
           [](PutClient& c, const PutRequest&, const Prompt&) {
             c.SendPositions(-1, {0, 1, 2, 3});
           })},
    {"PositionsMissingAtCommit", kInvalid, "POSITIONS_MISSING",
     After(ExternalRequest, [](PutClient& c, const PutRequest&, const Prompt&) { c.SendCommit(); })},
    {"PositionsUnsorted", kInvalid, "BAD_POSITIONS",
     After(ExternalRequest,
           [](PutClient& c, const PutRequest&, const Prompt&) {
             c.SendPositions(0, {0, 2, 1, 3});
           })},
    {"PositionsRepeated", kInvalid, "BAD_POSITIONS",
     After(ExternalRequest,
           [](PutClient& c, const PutRequest&, const Prompt&) {
             c.SendPositions(0, {0, 1, 1, 3});
           })},
    {"PositionsNegative", kInvalid, "BAD_POSITIONS",
     After(ExternalRequest,
           [](PutClient& c, const PutRequest&, const Prompt&) {
             c.SendPositions(0, {-1, 1, 2, 3});
           })},
    {"PositionsPastTheEnd", kInvalid, "BAD_POSITIONS",
     After(ExternalRequest,
           [](PutClient& c, const PutRequest&, const Prompt&) {
             c.SendPositions(0, {0, 1, 2, 96});
           })},
    {"RowsOfAnotherGroup", kInvalid, "POSITIONS_MISSING",
     After(ExternalRequest,
           [](PutClient& c, const PutRequest& r, const Prompt& p) {
             c.SendPositions(0, {0, 1, 2, 3});
             c.SendKeptRows(r, p, 1, 0, {0, 1, 2, 3}, 0, 4);
           })},
};
INSTANTIATE_TEST_SUITE_P(SelectedRows, BadStreamTest, testing::ValuesIn(kSelectedRows), NameOfRow);

// A stream that comes when the put waits for another one's parts only; that one is not harmed.
TEST(BadStreamTest, RefusesToAttachWhileCommitting) {
  TestServer server;
  const PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  PutClient first(server.channel());
  const auto begun = first.Begin(request);
  ASSERT_TRUE(begun.has_value());
  PutClient second(server.NewChannel());
  ASSERT_TRUE(second.AttachAndWait(first, begun->session_id(), request, prompt, 1));
  first.SendLayer(request, prompt, 0, 96);
  first.SendLayer(request, prompt, 2, 96);
  first.SendCommit();
  // Attached streams are taken until the commit has come.
  RpcEnd end;
  EXPECT_TRUE(TestServer::Eventually([&] {
    PutClient late(server.channel());
    late.Attach(begun->session_id());
    late.stream().HalfClose();
    end = late.Finish();
    return !end.ok();
  }));
  EXPECT_EQ(end.code, kInvalid) << end;
  EXPECT_EQ(end.reason, "AFTER_COMMIT");
  second.SendRows(request, prompt, 1, 1, 0, 96);
  second.stream().HalfClose();
  EXPECT_TRUE(second.Finish().ok());
  EXPECT_TRUE(first.ReceiveCommitted().has_value());
  EXPECT_TRUE(first.Finish().ok());
  server.ExpectAtRest();
}

// The identity is stored with another digest over K and V as sent.
TEST(BadStreamTest, RefusesOtherContentUnderAStoredIdentity) {
  TestServer server;
  PutRequest request = SmallRequest();
  const Prompt prompt = MakePrompt(request);
  std::vector<Bytes16> digests;
  for (const PromptLayer& layer : prompt) {
    for (const Bytes& tensor : layer.tensors) digests.push_back(DigestTensor(tensor));
  }
  request.content_digest = CombineDigests(digests);
  ASSERT_TRUE(PutAll(server.channel(), request, prompt).committed.has_value());
  // The same content is no error.
  PutClient again(server.channel());
  const auto begun = again.Begin(request);
  ASSERT_TRUE(begun.has_value());
  EXPECT_TRUE(begun->has_already_stored());
  EXPECT_TRUE(again.Finish().ok());

  request.content_digest->fill(1);
  PutClient other(server.channel());
  EXPECT_FALSE(other.Begin(request).has_value());
  const RpcEnd end = other.Finish();
  EXPECT_EQ(end.code, kExists);
  EXPECT_EQ(end.reason, "CONTENT_DIFFERS");
  server.ExpectAtRest();
}

TEST(BadStreamTest, AnotherContentIsRefusedAlsoWhereTheFirstPutDeclaredNone) {
  TestServer server;
  PutRequest request = SmallRequest();
  ASSERT_TRUE(PutAll(server.channel(), request, MakePrompt(request)).committed.has_value());
  request.content_digest.emplace().fill(1);
  PutClient other(server.channel());
  EXPECT_FALSE(other.Begin(request).has_value());
  EXPECT_EQ(other.Finish().reason, "CONTENT_DIFFERS");
  server.ExpectAtRest();
}

}  // namespace
}  // namespace chunkkv
