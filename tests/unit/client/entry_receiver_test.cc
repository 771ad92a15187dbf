// What a get hands on, and above all what it does not: every kind of damage on the way is found.
#include "client/cpp/entry_receiver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "chunkkv/kernels/status.h"
#include "client/cpp/convert.h"
#include "client/cpp/part_codec.h"
#include "service/format/digest.h"
#include "service/format/prompt_key.h"
#include "tests/unit/client/toy_cache.h"

namespace chunkkv::client {
namespace {

constexpr int64_t kTokens = 20;

// A server's side of one get of a `full` entry, whose messages a test may damage.
class ServedEntry {
 public:
  ServedEntry() {
    const PutRequest request = cache_.Request(Policy::kFull);
    v1::Begin begin;
    ToProto(request, &begin);
    *header_.mutable_layout() = begin.layout();
    header_.set_entry_id(std::string(16, 'e'));
    header_.set_fingerprint(ToString(Fingerprint(request.model)));
    header_.set_key(ToString(DigestPrompt(request.prompt.tokens, {}).digests.back()));
    header_.set_variant(ToString(kExactVariant));
    ToProto(*ResolveShard(Shard(), request.model), header_.mutable_shard());
    header_.set_token_count(kTokens);
    header_.set_next_position(kTokens);
    header_.set_position_mode(v1::POSITION_MODE_ORIGINAL);
    header_.set_policy_applied(v1::POLICY_FULL);
    for (int32_t layer = 0; layer < AttentionLayerCount(request.layout); ++layer) {
      v1::GroupPositions* group = header_.add_groups();
      group->mutable_group()->set_first_layer(layer);
      group->mutable_group()->set_layer_count(1);
      group->set_row_count(kTokens);
    }
    std::vector<ReuseGroup> groups = {{0, 1, -1}, {1, 1, -1}, {2, 1, -1}};
    std::vector<TensorSlot> slots = *LayOutBody(request.layout, groups, {kTokens, kTokens, kTokens}, 0);
    for (TensorSlot& slot : slots) {
      slot.digest = DigestTensor(BytesOf(slot.spec));
      v1::TensorDigest* digest = header_.add_digests();
      digest->set_layer(slot.spec.layer);
      digest->set_tensor(static_cast<v1::TensorKind>(slot.spec.kind));
      if (!slot.spec.is_per_token()) digest->set_name(slot.spec.name);
      digest->set_digest(ToString(slot.digest));
    }
    header_.set_entry_digest(ToString(EntryDigest(slots)));
    layout_ = request.layout;
  }

  absl::Span<const std::byte> BytesOf(const TensorSpec& spec) const {
    if (!spec.is_per_token()) return AsBytes(cache_.state);
    return AsBytes(spec.kind == TensorKind::kKeys ? cache_.keys[spec.layer] : cache_.values[spec.layer]);
  }

  v1::GetHeader& header() { return header_; }

  // Parts of a layer, two a tensor.
  std::vector<v1::Part> Parts(int32_t layer) const {
    std::vector<v1::Part> parts;
    for (const TensorSpec& spec : LayerTensors(layout_, layer)) {
      const int64_t unit = spec.is_per_token() ? spec.row_bytes : 1;
      const int64_t count = static_cast<int64_t>(BytesOf(spec).size()) / unit;
      for (const auto& [begin, end] : {std::pair{int64_t{0}, count / 2}, {count / 2, count}}) {
        v1::Part part;
        part.set_layer(layer);
        part.set_tensor(static_cast<v1::TensorKind>(spec.kind));
        if (!spec.is_per_token()) part.set_name(spec.name);
        part.set_range(spec.is_per_token() ? v1::RANGE_KIND_KEPT_ROWS : v1::RANGE_KIND_BYTES);
        part.set_begin(begin);
        part.set_end(end);
        const auto bytes = BytesOf(spec).subspan(begin * unit, (end - begin) * unit);
        part.mutable_payload()->set_inline_(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
        part.mutable_payload()->set_checksum(PartChecksum(bytes));
        parts.push_back(std::move(part));
      }
    }
    return parts;
  }

 private:
  ToyCache cache_{kTokens};
  Layout layout_;
  v1::GetHeader header_;
};

absl::Status Take(EntryReceiver& receiver, const v1::Part& part) {
  v1::GetCacheResponse message;
  *message.mutable_part() = part;
  const std::string text = message.SerializeAsString();
  return receiver.TakePart({grpc::Slice(text.data(), text.size())}, LayerRange());
}

absl::Status End(EntryReceiver& receiver, int32_t layer) {
  v1::LayerEnd end;
  end.set_layer(layer);
  return receiver.EndLayer(end, LayerRange());
}

// The first failure of receiving everything, with `damage` done to each part.
absl::StatusOr<CachedEntry> Receive(ServedEntry& served, const GetRequest& request,
                                    const std::function<void(v1::Part&)>& damage = nullptr) {
  EntryReceiver receiver(request);
  if (absl::Status status = receiver.Open(served.header(), 0, INT32_MAX); !status.ok()) return status;
  for (int32_t layer = 0; layer < kToyLayers; ++layer) {
    for (v1::Part& part : served.Parts(layer)) {
      if (damage) damage(part);
      if (absl::Status status = Take(receiver, part); !status.ok()) return status;
    }
    if (absl::Status status = End(receiver, layer); !status.ok()) return status;
  }
  return receiver.Finish();
}

void ExpectDataLoss(const absl::Status& status, const std::string& reason) {
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_EQ(StatusReason(status), reason) << status;
}

TEST(EntryReceiverTest, HandsOverWhatArrivedWhole) {
  ServedEntry served;
  std::vector<int32_t> handed_over;
  GetRequest request;
  request.on_layer = [&](const LayerView& layer) {
    handed_over.push_back(layer.layer);
    return absl::OkStatus();
  };
  const auto entry = Receive(served, request);
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_THAT(handed_over, testing::ElementsAre(0, 1, 2, 3));
  const TensorView* keys = entry->Find(3, "k");
  ASSERT_NE(keys, nullptr);
  EXPECT_EQ(keys->bytes, served.BytesOf(keys->spec));
  EXPECT_EQ(entry->Find(kToyVerbatimLayer, "state")->bytes.size(), 1000u);
  EXPECT_EQ(entry->Find(0, "q"), nullptr);
  EXPECT_EQ(entry->PositionsOf(1).size(), static_cast<size_t>(kTokens));
}

TEST(EntryReceiverTest, FindsAPartThatDiffersFromItsChecksum) {
  ServedEntry served;
  const auto entry = Receive(served, {}, [](v1::Part& part) {
    if (part.layer() == 1) part.mutable_payload()->mutable_inline_()->back() ^= 1;
  });
  ExpectDataLoss(entry.status(), "PART_CHECKSUM");
}

TEST(EntryReceiverTest, FindsBytesThatDifferFromTheCommittedDigest) {
  ServedEntry served;
  int32_t layers = 0;
  GetRequest request;
  request.on_layer = [&](const LayerView&) {
    ++layers;
    return absl::OkStatus();
  };
  const auto entry = Receive(served, request, [](v1::Part& part) {
    if (part.layer() != 1) return;
    std::string& bytes = *part.mutable_payload()->mutable_inline_();
    bytes.back() ^= 1;
    part.mutable_payload()->set_checksum(PartChecksum(AsBytes(bytes)));
  });
  ExpectDataLoss(entry.status(), "DIGEST_MISMATCH");
  EXPECT_EQ(layers, 1);
}

TEST(EntryReceiverTest, FindsADigestThatIsNotTheEntrys) {
  ServedEntry served;
  (*served.header().mutable_digests(2)->mutable_digest())[0] ^= 1;
  ExpectDataLoss(Receive(served, {}).status(), "DIGEST_MISMATCH");
}

TEST(EntryReceiverTest, FindsMissingRepeatedAndMisplacedParts) {
  ServedEntry served;
  const auto refused = [&](const std::function<void(std::vector<v1::Part>&)>& change) {
    const GetRequest request;
    EntryReceiver receiver(request);
    EXPECT_TRUE(receiver.Open(served.header(), 0, INT32_MAX).ok());
    std::vector<v1::Part> parts = served.Parts(0);
    change(parts);
    for (const v1::Part& part : parts) {
      if (absl::Status status = Take(receiver, part); !status.ok()) return status;
    }
    return End(receiver, 0);
  };
  EXPECT_TRUE(refused([](std::vector<v1::Part>&) {}).ok());
  ExpectDataLoss(refused([](std::vector<v1::Part>& parts) { parts.pop_back(); }), "INCOMPLETE");
  ExpectDataLoss(refused([](std::vector<v1::Part>& parts) { parts.insert(parts.begin(), parts[0]); }), "BAD_REPLY");
  ExpectDataLoss(refused([](std::vector<v1::Part>& parts) { std::swap(parts[0], parts[1]); }), "BAD_REPLY");
  ExpectDataLoss(refused([](std::vector<v1::Part>& parts) { parts[0].set_layer(99); }), "BAD_REPLY");
  ExpectDataLoss(refused([](std::vector<v1::Part>& parts) { parts[1].set_end(INT64_MAX); }), "BAD_REPLY");
  ExpectDataLoss(refused([](std::vector<v1::Part>& parts) { parts[0].set_begin(-1); }), "BAD_REPLY");
  ExpectDataLoss(refused([](std::vector<v1::Part>& parts) { parts[0].set_tensor(v1::TENSOR_KIND_QUERIES); }),
                 "BAD_REPLY");
}

TEST(EntryReceiverTest, TakesOfAStreamOnlyItsOwnLayers) {
  ServedEntry served;
  const GetRequest request;
  EntryReceiver receiver(request);
  ASSERT_TRUE(receiver.Open(served.header(), 0, INT32_MAX).ok());
  v1::GetCacheResponse message;
  *message.mutable_part() = served.Parts(0)[0];
  const std::string text = message.SerializeAsString();
  ExpectDataLoss(receiver.TakePart({grpc::Slice(text.data(), text.size())}, {.begin = 1, .end = 3}), "BAD_REPLY");
  v1::LayerEnd end;
  end.set_layer(3);
  ExpectDataLoss(receiver.EndLayer(end, {.begin = 1, .end = 3}), "BAD_REPLY");
}

TEST(EntryReceiverTest, GivesNoEntryWhereALayerIsMissing) {
  ServedEntry served;
  const GetRequest request;
  EntryReceiver receiver(request);
  ASSERT_TRUE(receiver.Open(served.header(), 0, INT32_MAX).ok());
  for (const v1::Part& part : served.Parts(0)) ASSERT_TRUE(Take(receiver, part).ok());
  ASSERT_TRUE(End(receiver, 0).ok());
  ExpectDataLoss(receiver.Finish().status(), "INCOMPLETE");
}

TEST(EntryReceiverTest, RefusesHeadersThatContradictThemselves) {
  const auto refused = [](const std::function<void(v1::GetHeader&)>& change) {
    ServedEntry served;
    change(served.header());
    return Receive(served, {}).status();
  };
  ExpectDataLoss(refused([](v1::GetHeader& header) { header.clear_layout(); }), "BAD_REPLY");
  ExpectDataLoss(refused([](v1::GetHeader& header) { header.set_token_count(0); }), "BAD_REPLY");
  ExpectDataLoss(refused([](v1::GetHeader& header) { header.set_token_count(INT64_MAX); }), "BAD_REPLY");
  ExpectDataLoss(refused([](v1::GetHeader& header) { header.mutable_groups()->RemoveLast(); }), "BAD_REPLY");
  ExpectDataLoss(refused([](v1::GetHeader& header) { header.mutable_groups(0)->set_row_count(5); }), "BAD_REPLY");
  ExpectDataLoss(refused([](v1::GetHeader& header) { header.mutable_groups(0)->add_positions(kTokens); }), "BAD_REPLY");
  ExpectDataLoss(refused([](v1::GetHeader& header) { header.mutable_digests()->RemoveLast(); }), "BAD_REPLY");
  ExpectDataLoss(refused([](v1::GetHeader& header) { header.set_first_token(3); }), "BAD_REPLY");
  ExpectDataLoss(refused([](v1::GetHeader& header) { header.set_position_mode(v1::POSITION_MODE_CONTIGUOUS); }),
                 "BAD_REPLY");
}

TEST(EntryReceiverTest, RefusesAnotherEntryThanAsked) {
  const PutRequest put = ToyCache(kTokens).Request(Policy::kFull);
  GetRequest request;
  request.model = put.model;
  request.prompt = put.prompt;
  const auto received = [&](const std::function<void(v1::GetHeader&)>& change) {
    ServedEntry served;
    change(served.header());
    return Receive(served, request).status();
  };
  EXPECT_TRUE(received([](v1::GetHeader&) {}).ok());
  const auto refused = [&](const std::function<void(v1::GetHeader&)>& change) {
    ExpectDataLoss(received(change), "ANOTHER_ENTRY");
  };
  refused([](v1::GetHeader& header) { header.set_fingerprint(std::string(32, 'f')); });
  refused([](v1::GetHeader& header) { header.set_key(std::string(32, 'k')); });
  refused([](v1::GetHeader& header) { header.mutable_shard()->set_tp_size(2); });
  refused([](v1::GetHeader& header) { header.set_policy_applied(v1::POLICY_SNAP_KV); });
  request.if_entry_id = Bytes16{};
  refused([](v1::GetHeader&) {});
  request.if_entry_id.reset();
  request.accept = Accept::Variant(Bytes32{1});
  refused([](v1::GetHeader&) {});
}

TEST(EntryReceiverTest, FindsPositionsThatDifferFromTheirDigest) {
  ServedEntry served;
  v1::GroupPositions& group = *served.header().mutable_groups(1);
  group.set_row_count(2);
  group.add_positions(3);
  group.add_positions(4);
  ExpectDataLoss(Receive(served, {}).status(), "DIGEST_MISMATCH");
}

TEST(EntryReceiverTest, TakesNoMoreMemoryThanAllowed) {
  ServedEntry served;
  GetRequest request;
  request.max_entry_bytes = 1000;
  const absl::Status status = Receive(served, request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(StatusReason(status), "ENTRY_TOO_LARGE");
}

TEST(EntryReceiverTest, EndsWithTheFailureOfACallback) {
  ServedEntry served;
  GetRequest request;
  request.on_layer = [](const LayerView& layer) {
    return layer.layer == 1 ? absl::CancelledError("enough") : absl::OkStatus();
  };
  EXPECT_EQ(Receive(served, request).status().message(), "enough");
}

}  // namespace
}  // namespace chunkkv::client
