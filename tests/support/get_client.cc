#include "tests/support/get_client.h"

#include <gtest/gtest.h>

#include <numeric>
#include <utility>

#include "service/format/digest.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"

namespace chunkkv {
namespace {

// Takes messages one after another and notes the first fault.
class Receiver {
 public:
  explicit Receiver(GotEntry& got) : got_(got) {}

  void Take(const v1::GetCacheResponse& response) {
    if (!got_.has_header && !response.has_header()) return Fault("the first message is no header");
    if (response.has_header()) return TakeHeader(response.header());
    if (response.has_part()) return TakePart(response.part());
    if (response.has_layer_end()) return TakeEnd(response.layer_end());
    Fault("an unset message");
  }

 private:
  void Fault(const std::string& what) {
    if (got_.fault.empty()) got_.fault = what;
  }

  void TakeHeader(const v1::GetHeader& header) {
    if (got_.has_header) return Fault("two headers");
    got_.has_header = true;
    got_.header = header;
    layer_ = header.first_layer();
  }

  void TakePart(const v1::Part& part) {
    if (part.layer() != layer_) return Fault("a part of layer " + std::to_string(part.layer()) + " out of order");
    const std::string& bytes = part.payload().inline_();
    const auto span = absl::MakeConstSpan(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size());
    if (PartChecksum(span) != part.payload().checksum()) Fault("a part's checksum is wrong");
    const auto key = std::make_tuple(part.layer(), static_cast<int>(part.tensor()), part.name());
    const auto [next, is_new] =
        next_.emplace(key, part.range() == v1::RANGE_KIND_BYTES ? 0 : got_.header.first_token());
    if (part.begin() != next->second || part.end() <= part.begin()) Fault("a part's range is out of order");
    next->second = part.end();
    Bytes& tensor = got_.tensors[key];
    tensor.insert(tensor.end(), span.begin(), span.end());
  }

  void TakeEnd(const v1::LayerEnd& end) {
    if (end.layer() != layer_) return Fault("the end of layer " + std::to_string(end.layer()) + " out of order");
    for (const v1::TensorDigest& digest : end.digests()) {
      const auto key = std::make_tuple(end.layer(), static_cast<int>(digest.tensor()), digest.name());
      if (rpc::ToString(DigestTensor(got_.tensors[key])) != digest.digest()) Fault("a digest is wrong");
    }
    got_.ended_layers.push_back(layer_++);
  }

  GotEntry& got_;
  int32_t layer_ = 0;
  std::map<std::tuple<int32_t, int, std::string>, int64_t> next_;
};

}  // namespace

const Bytes& GotEntry::tensor(int32_t layer, v1::TensorKind kind, const std::string& name) const {
  static const Bytes none;
  const auto found = tensors.find({layer, static_cast<int>(kind), name});
  return found == tensors.end() ? none : found->second;
}

int64_t RowsOf(const v1::GetHeader& header, int32_t layer) {
  int32_t attention_layer = 0;
  for (const v1::LayerRun& run : header.layout()) {
    if (!run.has_attention()) continue;
    const int32_t within = layer - run.first_layer();
    if (within >= 0 && within < run.layer_count()) {
      attention_layer += within;
      for (const v1::GroupPositions& group : header.groups()) {
        if (attention_layer < group.group().first_layer() + group.group().layer_count()) return group.row_count();
      }
    }
    attention_layer += run.layer_count();
  }
  return 0;
}

v1::GetCacheRequest::Target DenseTarget(const std::string& region_id, const PutRequest& put) {
  v1::GetCacheRequest::Target target;
  int64_t offset = 0;
  for (int32_t layer = 0; layer < LayerCount(put.layout); ++layer) {
    for (const TensorSpec& spec : LayerTensors(put.layout, layer)) {
      v1::GetCacheRequest::LayerTarget* place = target.add_layers();
      place->set_layer(layer);
      place->set_tensor(static_cast<v1::TensorKind>(spec.kind));
      if (!spec.is_per_token()) place->set_name(spec.name);
      place->mutable_slice()->set_region_id(region_id);
      place->mutable_slice()->set_offset_bytes(offset);
      place->mutable_slice()->set_length_bytes(spec.is_per_token() ? put.token_count * spec.row_bytes
                                                                   : spec.size_bytes);
      offset += place->slice().length_bytes();
    }
  }
  return target;
}

v1::GetCacheRequest GetRequestOf(const PutRequest& request) {
  v1::GetCacheRequest wire;
  rpc::ToWire(request.model, wire.mutable_model());
  rpc::ToWire(request.shard, wire.mutable_shard());
  wire.mutable_prompt()->set_key(
      rpc::ToString(request.prompt.digests.empty() ? request.key : request.prompt.digests.back()));
  wire.mutable_accept()->set_variant(rpc::ToString(VariantOf(request.spec)));
  return wire;
}

GotEntry GetAll(std::shared_ptr<grpc::Channel> channel, const v1::GetCacheRequest& request,
                const std::function<void(v1::GetCacheResponse&)>& complete) {
  GotEntry got;
  Receiver receiver(got);
  RawStream stream(std::move(channel), "GetCache");
  stream.Send(request);
  stream.HalfClose();
  while (const std::optional<std::string> bytes = stream.Receive()) {
    v1::GetCacheResponse response;
    if (!response.ParseFromString(*bytes)) {
      got.fault = "a message that is no GetCacheResponse";
      break;
    }
    if (complete) complete(response);
    receiver.Take(response);
  }
  got.end = stream.Finish();
  return got;
}

void ExpectServed(const GotEntry& got, const PutRequest& request, const Prompt& prompt,
                  const std::vector<std::vector<int32_t>>& kept) {
  ASSERT_TRUE(got.end.ok()) << got.end;
  EXPECT_EQ(got.fault, "");
  EXPECT_EQ(got.header.token_count(), request.token_count);
  ASSERT_EQ(got.header.groups_size(), static_cast<int>(kept.size()));
  for (int group = 0; group < got.header.groups_size(); ++group) {
    const v1::GroupPositions& wire = got.header.groups(group);
    EXPECT_EQ(wire.row_count(), static_cast<int64_t>(kept[group].size()));
    if (wire.row_count() == request.token_count) continue;
    EXPECT_EQ(std::vector<int32_t>(wire.positions().begin(), wire.positions().end()), kept[group]);
  }
  std::vector<int32_t> layers(LayerCount(request.layout));
  std::iota(layers.begin(), layers.end(), 0);
  EXPECT_EQ(got.ended_layers, layers);
  for (const int32_t layer : layers) {
    const std::vector<TensorSpec> specs = LayerTensors(request.layout, layer);
    for (size_t i = 0; i < specs.size(); ++i) {
      const Bytes& sent = prompt[layer].tensors[i];
      const auto kind = static_cast<v1::TensorKind>(specs[i].kind);
      if (!specs[i].is_per_token()) {
        EXPECT_EQ(got.tensor(layer, kind, specs[i].name), sent) << "layer " << layer << " " << specs[i].name;
        continue;
      }
      int group = 0;
      const int32_t attention_layer = AttentionIndex(request.layout, layer);
      while (attention_layer >=
             got.header.groups(group).group().first_layer() + got.header.groups(group).group().layer_count()) {
        ++group;
      }
      Bytes expected;
      for (const int32_t position : kept[group]) {
        const auto from = sent.begin() + position * specs[i].row_bytes;
        expected.insert(expected.end(), from, from + specs[i].row_bytes);
      }
      EXPECT_TRUE(got.tensor(layer, kind) == expected) << "layer " << layer << " " << specs[i].name;
    }
  }
}

}  // namespace chunkkv
