// What wrong gets and wrong unary requests get, through the real stack.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "service/format/prompt_key.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"
#include "tests/integration/bad_input.h"
#include "tests/support/get_client.h"
#include "tests/support/put_client.h"

namespace chunkkv {
namespace {

class BadRequestTest : public testing::TestWithParam<BadInput> {};

TEST_P(BadRequestTest, IsRefusedByName) { ExpectRefused(GetParam()); }

// SmallRequest, stored: a lossy entry without RoPE. Returns its id.
std::string Store(TestServer& server, const PutRequest& request = SmallRequest()) {
  const PutResult put = PutAll(server.channel(), request, MakePrompt(request));
  EXPECT_TRUE(put.committed.has_value()) << put.end;
  return put.committed ? put.committed->entry_id() : "";
}

PutRequest FullRequest() {
  PutRequest request = SmallRequest();
  request.spec = CompactionSpec();
  request.score_source = ScoreSource::kNone;
  return request;
}

// A get of what `stored` names, which is stored, changed.
std::function<RpcEnd(TestServer&)> GetOf(PutRequest (*stored)(), std::function<void(v1::GetCacheRequest&)> change) {
  return [stored, change = std::move(change)](TestServer& server) {
    Store(server, stored());
    v1::GetCacheRequest request = GetRequestOf(stored());
    change(request);
    const GotEntry got = GetAll(server.channel(), request);
    EXPECT_FALSE(got.has_header);
    return got.end;
  };
}

std::function<RpcEnd(TestServer&)> Get(std::function<void(v1::GetCacheRequest&)> change) {
  return GetOf(SmallRequest, std::move(change));
}

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

const BadInput kGets[] = {
    {"KeyMissing", kInvalid, "KEY_MISSING", Get([](auto& r) { r.clear_prompt(); })},
    {"KeyShort", kInvalid, "BAD_KEY", Get([](auto& r) { r.mutable_prompt()->set_key("key"); })},
    {"ModelMissing", kInvalid, "MODEL_MISSING", Get([](auto& r) { r.clear_model(); })},
    {"ModelIncomplete", kInvalid, "MODEL_IDENTITY_INCOMPLETE", Get([](auto& r) { r.mutable_model()->clear_name(); })},
    {"FingerprintShort", kInvalid, "BAD_FINGERPRINT", Get([](auto& r) { r.set_fingerprint("fingerprint"); })},
    {"ShardOutsideTheModel", kInvalid, "BAD_SHARD", Get([](auto& r) { r.mutable_shard()->set_layer_count(9); })},
    {"AcceptUnset", kInvalid, "ACCEPT_UNSET", Get([](auto& r) { r.mutable_accept()->clear_rule(); })},
    {"AcceptExactFalse", kInvalid, "ACCEPT_UNSET", Get([](auto& r) { r.mutable_accept()->set_exact(false); })},
    {"AcceptLeastLossyFalse", kInvalid, "ACCEPT_UNSET",
     Get([](auto& r) { r.mutable_accept()->set_least_lossy(false); })},
    {"VariantShort", kInvalid, "BAD_VARIANT", Get([](auto& r) { r.mutable_accept()->set_variant("variant"); })},
    {"AcceptedPolicyUnknown", kInvalid, "BAD_POLICY",
     Get([](auto& r) { r.mutable_accept()->mutable_spec()->set_policy(static_cast<v1::Policy>(99)); })},
    {"AcceptedKeepRatioNan", kInvalid, "BAD_KEEP_RATIO", Get([](auto& r) {
       r.mutable_accept()->mutable_spec()->set_policy(v1::POLICY_CHUNK_KV);
       r.mutable_accept()->mutable_spec()->set_keep_ratio(std::nan(""));
     })},
    {"AcceptedBudgetMissing", kInvalid, "BUDGET_MISSING",
     Get([](auto& r) { r.mutable_accept()->mutable_spec()->set_policy(v1::POLICY_CHUNK_KV); })},
    {"IfEntryIdShort", kInvalid, "BAD_ENTRY_ID", Get([](auto& r) { r.set_if_entry_id("id"); })},
    {"LeaseIdShort", kInvalid, "BAD_LEASE_ID", Get([](auto& r) { r.set_lease_id("id"); })},
    {"WaitNegative", kInvalid, "BAD_WAIT", Get([](auto& r) { r.set_wait_ms(-1); })},
    {"WaitForAnUnknownShard", kInvalid, "SHARD_INCOMPLETE", Get([](auto& r) {
       r.set_fingerprint(std::string(32, 'f'));
       r.clear_shard();
       r.set_wait_ms(1000);
     })},
    {"PartBytesNegative", kInvalid, "BAD_PART_BYTES", Get([](auto& r) { r.set_max_part_bytes(-1); })},
    {"PartBytesOne", kInvalid, "BAD_PART_BYTES", Get([](auto& r) { r.set_max_part_bytes(1); })},
    {"PartBytesBelowLimit", kInvalid, "BAD_PART_BYTES", Get([](auto& r) { r.set_max_part_bytes(16'383); })},
    {"PartBytesAboveLimit", kInvalid, "BAD_PART_BYTES", Get([](auto& r) { r.set_max_part_bytes((2 << 20) + 1); })},
    {"PositionModeUnknown", kInvalid, "BAD_ENUM",
     Get([](auto& r) { r.set_position_mode(static_cast<v1::PositionMode>(9)); })},
    {"LayersReversed", kInvalid, "BAD_LAYER_RANGE", Get([](auto& r) {
       r.mutable_layers()->set_begin(2);
       r.mutable_layers()->set_end(1);
     })},
    {"LayersPastTheEnd", kOutOfRange, "LAYER_RANGE", Get([](auto& r) { r.mutable_layers()->set_end(4); })},
    {"TokensReversed", kInvalid, "BAD_TOKEN_RANGE",
     GetOf(FullRequest,
           [](auto& r) {
             r.mutable_tokens()->set_begin(20);
             r.mutable_tokens()->set_end(10);
           })},
    {"TokensEmpty", kInvalid, "BAD_TOKEN_RANGE",
     GetOf(FullRequest,
           [](auto& r) {
             r.mutable_tokens()->set_begin(10);
             r.mutable_tokens()->set_end(10);
           })},
    {"TokensNegative", kInvalid, "BAD_TOKEN_RANGE",
     GetOf(FullRequest,
           [](auto& r) {
             r.mutable_tokens()->set_begin(-5);
             r.mutable_tokens()->set_end(10);
           })},
    {"TokensPastTheEnd", kOutOfRange, "TOKEN_RANGE",
     GetOf(FullRequest, [](auto& r) { r.mutable_tokens()->set_end(97); })},
    {"TokensFarPastTheEnd", kOutOfRange, "TOKEN_RANGE",
     GetOf(FullRequest,
           [](auto& r) {
             r.mutable_tokens()->set_begin(kHuge - 1);
             r.mutable_tokens()->set_end(kHuge);
           })},
    {"TokensOfACompactedEntry", kPrecondition, "RANGE_OF_COMPACTED",
     Get([](auto& r) { r.mutable_tokens()->set_end(10); })},
    {"ContiguousWithoutRope", kPrecondition, "NO_ROPE",
     Get([](auto& r) { r.set_position_mode(v1::POSITION_MODE_CONTIGUOUS); })},
    {"FeatureUnknown", kUnimplemented, "FEATURE", Get([](auto& r) { r.add_required_features("telepathy"); })},
    {"AnotherPrompt", kNotFound, "ENTRY_NOT_FOUND",
     Get([](auto& r) { r.mutable_prompt()->set_key(std::string(32, 'x')); })},
    {"AnotherModel", kNotFound, "ENTRY_NOT_FOUND", Get([](auto& r) { r.mutable_model()->set_revision("2"); })},
    {"AnotherShard", kNotFound, "ENTRY_NOT_FOUND", Get([](auto& r) {
       r.mutable_shard()->set_tp_size(2);
       r.mutable_shard()->set_kv_head_count(1);
     })},
    {"LossyWhereExactWasAsked", kNotFound, "ENTRY_NOT_FOUND",
     Get([](auto& r) { r.mutable_accept()->set_exact(true); })},
    {"ExactIsTheDefault", kNotFound, "ENTRY_NOT_FOUND", Get([](auto& r) { r.clear_accept(); })},
    {"AnotherVariant", kNotFound, "ENTRY_NOT_FOUND",
     Get([](auto& r) { r.mutable_accept()->set_variant(std::string(32, 'v')); })},
    {"EntryIdOfNoEntry", kNotFound, "ENTRY_NOT_FOUND", Get([](auto& r) { r.set_if_entry_id(std::string(16, 'e')); })},
};
INSTANTIATE_TEST_SUITE_P(Gets, BadRequestTest, testing::ValuesIn(kGets), NameOfRow);

// Bytes that are no message, to every method that takes one message.
std::function<RpcEnd(TestServer&)> Garbage(const char* method) {
  return [method](TestServer& server) {
    Store(server);
    RawStream stream(server.channel(), method);
    stream.Send(std::string("\x0a\xff\xff not a request"));
    stream.HalfClose();
    return stream.Finish();
  };
}

BadInput Malformed(const char* method) { return {method, kInvalid, "MALFORMED_MESSAGE", Garbage(method)}; }

const BadInput kMalformed[] = {
    Malformed("FindLongestPrefix"), Malformed("DescribeCaches"),   Malformed("ListCaches"),
    Malformed("PinCaches"),         Malformed("UnpinCaches"),      Malformed("DeleteCaches"),
    Malformed("TrimCaches"),        Malformed("GetCapabilities"),  Malformed("GetStats"),
    Malformed("RegisterRegion"),    Malformed("UnregisterRegion"), Malformed("ListRegions"),
    Malformed("QuiesceTransfer"),   Malformed("OpenChannel"),      Malformed("CloseChannel"),
    Malformed("GetCache"),          Malformed("WatchCaches"),      Malformed("RecordScores"),
};
INSTANTIATE_TEST_SUITE_P(Malformed, BadRequestTest, testing::ValuesIn(kMalformed), NameOfRow);

// Calls a unary method of the stub.
template <typename Request, typename Response>
std::function<RpcEnd(TestServer&)> Unary(grpc::Status (v1::KvCacheService::Stub::*method)(grpc::ClientContext*,
                                                                                          const Request&, Response*),
                                         std::function<void(Request&)> fill) {
  return [method, fill = std::move(fill)](TestServer& server) {
    Store(server);
    Request request;
    fill(request);
    grpc::ClientContext context;
    Response response;
    return EndOf((server.stub().*method)(&context, request, &response), context);
  };
}

using Find = v1::FindLongestPrefixRequest;
using Describe = v1::DescribeCachesRequest;
using List = v1::ListCachesRequest;
using Pin = v1::PinCachesRequest;
using Unpin = v1::UnpinCachesRequest;
using Delete = v1::DeleteCachesRequest;
using Trim = v1::TrimCachesRequest;

const BadInput kUnary[] = {
    {"FindNothing", kInvalid, "EMPTY_BATCH", Unary<Find>(&Stub::FindLongestPrefix, [](auto&) {})},
    {"FindTooMuch", kInvalid, "BATCH_TOO_LARGE",
     Unary<Find>(&Stub::FindLongestPrefix,
                 [](auto& r) {
                   for (int i = 0; i < 100'001; ++i) r.add_queries();
                 })},
    {"FindTooManyShards", kInvalid, "BATCH_TOO_LARGE",
     Unary<Find>(&Stub::FindLongestPrefix,
                 [](auto& r) {
                   for (int i = 0; i < 2; ++i) {
                     auto* const query = r.add_queries();
                     for (int shard = 0; shard < 2049; ++shard) query->add_shards()->set_tp_rank(shard);
                   }
                 })},
    {"FindMoreThanTheServerDecodes", kExhausted, "REQUEST_TOO_LARGE",
     Unary<Find>(&Stub::FindLongestPrefix,
                 [](auto& r) {
                   auto* const query = r.add_queries();
                   for (int shard = 0; shard < 1 << 20; ++shard) query->add_shards();
                 })},
    {"FindWithAnUnknownFeature", kUnimplemented, "FEATURE",
     Unary<Find>(&Stub::FindLongestPrefix,
                 [](auto& r) {
                   r.add_queries();
                   r.add_required_features("telepathy");
                 })},
    {"DescribeNothing", kInvalid, "EMPTY_BATCH", Unary<Describe>(&Stub::DescribeCaches, [](auto&) {})},
    {"DescribeTooMuch", kInvalid, "BATCH_TOO_LARGE",
     Unary<Describe>(&Stub::DescribeCaches,
                     [](auto& r) {
                       for (int i = 0; i < 100'001; ++i) r.add_entries();
                     })},
    {"ListWithABadToken", kInvalid, "BAD_PAGE_TOKEN",
     Unary<List>(&Stub::ListCaches, [](auto& r) { r.set_page_token("../../etc"); })},
    {"ListWithANegativePage", kInvalid, "BAD_PAGE_SIZE",
     Unary<List>(&Stub::ListCaches, [](auto& r) { r.set_page_size(-1); })},
    {"ListOfABadFingerprint", kInvalid, "BAD_FINGERPRINT",
     Unary<List>(&Stub::ListCaches, [](auto& r) { r.set_fingerprint("f"); })},
    {"PinNothing", kInvalid, "EMPTY_BATCH", Unary<Pin>(&Stub::PinCaches, [](auto& r) { r.set_duration_ms(1); })},
    {"PinTooMuch", kInvalid, "BATCH_TOO_LARGE",
     Unary<Pin>(&Stub::PinCaches,
                [](auto& r) {
                  r.set_duration_ms(1);
                  for (int i = 0; i < 100'001; ++i) r.add_entries();
                })},
    {"PinForNoTime", kInvalid, "BAD_PIN", Unary<Pin>(&Stub::PinCaches, [](auto& r) { r.add_entries(); })},
    {"PinTooLong", kInvalid, "PIN_TOO_LONG",
     Unary<Pin>(&Stub::PinCaches,
                [](auto& r) {
                  r.add_entries();
                  r.set_duration_ms(kHuge);
                })},
    {"UnpinNothing", kInvalid, "EMPTY_BATCH", Unary<Unpin>(&Stub::UnpinCaches, [](auto&) {})},
    {"UnpinTooMuch", kInvalid, "BATCH_TOO_LARGE",
     Unary<Unpin>(&Stub::UnpinCaches,
                  [](auto& r) {
                    for (int i = 0; i < 100'001; ++i) r.add_pin_ids("");
                  })},
    {"DeleteNothing", kInvalid, "EMPTY_BATCH", Unary<Delete>(&Stub::DeleteCaches, [](auto&) {})},
    {"DeleteTooMuch", kInvalid, "BATCH_TOO_LARGE",
     Unary<Delete>(&Stub::DeleteCaches,
                   [](auto& r) {
                     for (int i = 0; i < 100'001; ++i) r.add_entries();
                   })},
    {"TrimWithoutACondition", kInvalid, "NO_CONDITION", Unary<Trim>(&Stub::TrimCaches, [](auto&) {})},
    {"TrimNegative", kInvalid, "BAD_AGE", Unary<Trim>(&Stub::TrimCaches, [](auto& r) { r.set_older_than_ms(-1); })},
    {"TrimOfABadFingerprint", kInvalid, "BAD_FINGERPRINT",
     Unary<Trim>(&Stub::TrimCaches, [](auto& r) { r.set_fingerprint(std::string(31, 'f')); })},
    {"TrimOfAKeyAlone", kInvalid, "DIGESTS_MISSING",
     Unary<Trim>(&Stub::TrimCaches, [](auto& r) { r.mutable_prefix()->set_key(std::string(32, 'k')); })},
    {"WatchAfterANegativeNumber", kInvalid, "BAD_SEQUENCE",
     [](TestServer& server) {
       v1::WatchCachesRequest request;
       request.set_after_sequence(-1);
       RawStream stream(server.channel(), "WatchCaches");
       stream.Send(request);
       stream.HalfClose();
       return stream.Finish();
     }},
};
INSTANTIATE_TEST_SUITE_P(Unary, BadRequestTest, testing::ValuesIn(kUnary), NameOfRow);

RpcEnd ItemEnd(const v1::ItemStatus& status) {
  RpcEnd end;
  end.code = static_cast<grpc::StatusCode>(status.code());
  end.reason = status.reason();
  end.message = status.message();
  return end;
}

// One item of a batch: `select` is given the id of the stored entry.
std::function<RpcEnd(TestServer&)> DeleteOne(std::function<void(v1::EntrySelector&, const std::string&)> select) {
  return [select = std::move(select)](TestServer& server) {
    const std::string id = Store(server);
    Delete request;
    select(*request.add_entries(), id);
    grpc::ClientContext context;
    v1::DeleteCachesResponse response;
    EXPECT_TRUE(server.stub().DeleteCaches(&context, request, &response).ok());
    EXPECT_EQ(response.items_size(), 1);
    return ItemEnd(response.items(0));
  };
}

std::function<RpcEnd(TestServer&)> FindOne(std::function<void(Find::Query&)> change) {
  return [change = std::move(change)](TestServer& server) {
    Find request;
    Find::Query* const query = request.add_queries();
    rpc::ToWire(SmallRequest().model, query->mutable_model());
    query->mutable_prompt()->add_tokens(1);
    change(*query);
    grpc::ClientContext context;
    v1::FindLongestPrefixResponse response;
    EXPECT_TRUE(server.stub().FindLongestPrefix(&context, request, &response).ok());
    EXPECT_EQ(response.results_size(), 1);
    return ItemEnd(response.results(0).status());
  };
}

const BadInput kItems[] = {
    {"SelectorUnset", kInvalid, "SELECTOR_UNSET", DeleteOne([](auto&, const auto&) {})},
    {"SelectorIdShort", kInvalid, "BAD_ENTRY_ID", DeleteOne([](auto& s, const auto&) { s.set_entry_id("id"); })},
    {"SelectorNameWithoutModel", kInvalid, "MODEL_MISSING",
     DeleteOne([](auto& s, const auto&) { s.mutable_name()->set_key(std::string(32, 'k')); })},
    {"SelectorNameWithoutKey", kInvalid, "BAD_KEY",
     DeleteOne([](auto& s, const auto&) { s.mutable_name()->set_fingerprint(std::string(32, 'f')); })},
    {"SelectorOfNoEntry", kNotFound, "ENTRY_NOT_FOUND",
     DeleteOne([](auto& s, const auto&) { s.set_entry_id(std::string(16, 'e')); })},
    {"SelectorOfAnotherEntryId", kNotFound, "ENTRY_NOT_FOUND", DeleteOne([](auto& s, const std::string&) {
       const PutRequest request = SmallRequest();
       rpc::ToWire(request.model, s.mutable_name()->mutable_model());
       s.mutable_name()->set_key(rpc::ToString(request.key));
       s.mutable_name()->set_variant(rpc::ToString(VariantOf(request.spec)));
       s.set_if_entry_id(std::string(16, 'e'));
     })},
    {"FindWithoutModel", kInvalid, "MODEL_MISSING", FindOne([](auto& q) { q.clear_model(); })},
    {"FindWithoutTokens", kInvalid, "DIGESTS_MISSING", FindOne([](auto& q) {
       q.mutable_prompt()->clear_tokens();
       q.mutable_prompt()->set_key(std::string(32, 'k'));
     })},
    {"FindAShardTwice", kInvalid, "BAD_SHARD", FindOne([](auto& q) {
       q.add_shards();
       q.add_shards()->set_layer_count(q.model().layer_count());
     })},
    {"FindTooManyShardsAtOnce", kInvalid, "BAD_SHARD", FindOne([](auto& q) {
       for (int i = 0; i < 4097; ++i) {
         q.add_shards()->set_tp_size(5000);
         q.mutable_shards(i)->set_tp_rank(i);
       }
     })},
    {"FindHoldingNegative", kInvalid, "BAD_PIN", FindOne([](auto& q) { q.set_hold_ms(-1); })},
    {"FindHoldingTooLong", kInvalid, "PIN_TOO_LONG", FindOne([](auto& q) { q.set_hold_ms(3'600'001); })},
    {"FindHoldingForEver", kInvalid, "PIN_TOO_LONG", FindOne([](auto& q) { q.set_hold_ms(kHuge); })},
    {"FindAcceptingNothing", kInvalid, "ACCEPT_UNSET", FindOne([](auto& q) { q.mutable_accept()->set_exact(false); })},
    {"FindAMiss", kNotFound, "PREFIX_NOT_FOUND", FindOne([](auto&) {})},
};
INSTANTIATE_TEST_SUITE_P(Items, BadRequestTest, testing::ValuesIn(kItems), NameOfRow);

const BadInput kCalls[] = {
    {"DeadlinePast", kDeadline, "",
     [](TestServer& server) {
       RawStream stream(server.channel(), "GetCache", -1000);
       stream.Send(GetRequestOf(SmallRequest()));
       stream.HalfClose();
       return stream.Finish();
     }},
    {"MetadataAboveEightKibibytes", kExhausted, "METADATA_TOO_LARGE",
     [](TestServer& server) {
       // A neighbour on the same connection is not harmed.
       PutClient neighbour(server.channel());
       const PutRequest request = SmallRequest();
       const Prompt prompt = MakePrompt(request);
       EXPECT_TRUE(neighbour.Begin(request).has_value());
       RawStream stream(server.channel(), "GetCache");
       for (int i = 0; i < 9; ++i) stream.context().AddMetadata("x-" + std::to_string(i), std::string(1000, 'm'));
       stream.Send(GetRequestOf(request));
       stream.HalfClose();
       const RpcEnd end = stream.Finish();
       for (int32_t layer = 0; layer < 3; ++layer) neighbour.SendLayer(request, prompt, layer, 96);
       neighbour.SendCommit();
       EXPECT_TRUE(neighbour.ReceiveCommitted().has_value());
       EXPECT_TRUE(neighbour.Finish().ok());
       return end;
     }},
    {"CompressedMessage", kUnimplemented, "",
     [](TestServer& server) {
       RawStream stream(server.channel(), "GetCache");
       stream.context().set_compression_algorithm(GRPC_COMPRESS_GZIP);
       stream.Send(std::string(1 << 20, '\0'));
       stream.HalfClose();
       return stream.Finish();
     }},
    {"UnknownMethod", kUnimplemented, "",
     [](TestServer& server) {
       RawStream stream(server.channel(), "EvictCaches");
       stream.Send(std::string());
       stream.HalfClose();
       return stream.Finish();
     }},
};
INSTANTIATE_TEST_SUITE_P(Calls, BadRequestTest, testing::ValuesIn(kCalls), NameOfRow);

TEST(BadRequestTest, RefusesToDeleteWhatIsPinned) {
  TestServer server;
  const std::string id = Store(server);
  Pin pin;
  pin.add_entries()->set_entry_id(id);
  pin.set_duration_ms(1000);
  v1::PinCachesResponse pinned;
  grpc::ClientContext pin_context;
  ASSERT_TRUE(server.stub().PinCaches(&pin_context, pin, &pinned).ok());
  ASSERT_EQ(pinned.items(0).status().code(), 0);
  Delete request;
  request.add_entries()->set_entry_id(id);
  v1::DeleteCachesResponse response;
  grpc::ClientContext delete_context;
  ASSERT_TRUE(server.stub().DeleteCaches(&delete_context, request, &response).ok());
  EXPECT_EQ(response.items(0).code(), kPrecondition);
  EXPECT_EQ(response.items(0).reason(), "PINNED");
  // The lease ends by itself.
  server.clock().AdvanceMs(1001);
  grpc::ClientContext again_context;
  response.Clear();
  ASSERT_TRUE(server.stub().DeleteCaches(&again_context, request, &response).ok());
  EXPECT_EQ(response.items(0).code(), 0);
  server.ExpectAtRest();
}

template <typename Response, typename Request>
Response Answer(TestServer& server, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                const Request& request) {
  grpc::ClientContext context;
  Response response;
  const grpc::Status status = (server.stub().*method)(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

TEST(BadRequestTest, AnswersEachOfABatchWithRepeats) {
  TestServer server;
  PutRequest stored = SmallRequest();
  stored.prompt = DigestPrompt(std::vector<uint32_t>(96, 5), {});
  stored.key = stored.prompt.digests.back();
  const std::string id = Store(server, stored);
  Find find;
  Describe describe;
  Pin pin;
  pin.set_duration_ms(1000);
  Delete remove;
  for (int i = 0; i < 3; ++i) {
    Find::Query* const query = find.add_queries();
    rpc::ToWire(stored.model, query->mutable_model());
    for (int token = 0; token < 96; ++token) query->mutable_prompt()->add_tokens(5);
    describe.add_entries()->set_entry_id(id);
    pin.add_entries()->set_entry_id(id);
    remove.add_entries()->set_entry_id(id);
  }
  const auto found = Answer(server, &Stub::FindLongestPrefix, find);
  const auto described = Answer(server, &Stub::DescribeCaches, describe);
  const auto pinned = Answer(server, &Stub::PinCaches, pin);
  ASSERT_EQ(found.results_size(), 3);
  ASSERT_EQ(described.items_size(), 3);
  ASSERT_EQ(pinned.items_size(), 3);
  Unpin unpin;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(found.results(i).status().code(), 0) << found.results(i).status().message();
    EXPECT_EQ(found.results(i).entries(0).entry_id(), id);
    EXPECT_EQ(described.items(i).info().entry_id(), id);
    EXPECT_EQ(pinned.items(i).status().code(), 0);
    // Each pin is a lease of its own.
    for (int repeat = 0; repeat < 2; ++repeat) unpin.add_pin_ids(pinned.items(i).pin_id());
  }
  EXPECT_EQ(server.store().Stats().pins, 3);
  const auto unpinned = Answer(server, &Stub::UnpinCaches, unpin);
  ASSERT_EQ(unpinned.items_size(), 6);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(unpinned.items(i).reason(), i % 2 == 0 ? "" : "PIN_NOT_FOUND");
  const auto removed = Answer(server, &Stub::DeleteCaches, remove);
  ASSERT_EQ(removed.items_size(), 3);
  EXPECT_EQ(removed.items(0).code(), 0);
  EXPECT_EQ(removed.items(1).code(), kNotFound);
  EXPECT_EQ(removed.items(2).code(), kNotFound);
  server.ExpectAtRest();
}

// The name is the same, the entry is another one.
TEST(BadRequestTest, AnEarlierEntryIsNotFoundUnderItsName) {
  TestServer server;
  const std::string first_id = Store(server);
  Delete remove;
  remove.add_entries()->set_entry_id(first_id);
  EXPECT_EQ(Answer(server, &Stub::DeleteCaches, remove).items(0).code(), 0);
  const std::string second_id = Store(server);
  ASSERT_NE(first_id, second_id);

  v1::GetCacheRequest get = GetRequestOf(SmallRequest());
  get.set_if_entry_id(first_id);
  const RpcEnd end = GetAll(server.channel(), get).end;
  EXPECT_EQ(end.code, kNotFound) << end;
  EXPECT_EQ(end.reason, "ENTRY_NOT_FOUND");
  const PutRequest request = SmallRequest();
  v1::EntrySelector* const selector = remove.mutable_entries(0);
  rpc::ToWire(request.model, selector->mutable_name()->mutable_model());
  selector->mutable_name()->set_key(rpc::ToString(request.key));
  selector->mutable_name()->set_variant(rpc::ToString(VariantOf(request.spec)));
  selector->set_if_entry_id(first_id);
  EXPECT_EQ(Answer(server, &Stub::DeleteCaches, remove).items(0).reason(), "ENTRY_NOT_FOUND");
  EXPECT_EQ(server.store().Stats().entries, 1);

  get.set_if_entry_id(second_id);
  EXPECT_TRUE(GetAll(server.channel(), get).end.ok());
  selector->set_if_entry_id(second_id);
  EXPECT_EQ(Answer(server, &Stub::DeleteCaches, remove).items(0).code(), 0);
  EXPECT_EQ(server.store().Stats().entries, 0);
  server.ExpectAtRest();
}

}  // namespace
}  // namespace chunkkv
