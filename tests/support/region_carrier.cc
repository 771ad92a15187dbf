#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <random>
#include <tuple>

#include "service/base/check.h"
#include "service/format/digest.h"
#include "service/rpc/wire_bytes.h"
#include "tests/support/carrier.h"
#include "tests/support/local_client.h"
#include "tests/support/put_client.h"
#include "tests/support/raw_stream.h"

namespace chunkkv {
namespace {

constexpr int64_t kRegionBytes = int64_t{16} << 20;
constexpr int32_t kBlockTokens = 5;

// Pages of one tensor: blocks in shuffled order, one block of nobody's between two of ours, heads outside of tokens
// as vLLM's HND has them.
class PagedPlace {
 public:
  PagedPlace(int64_t offset, const PartShape& shape, int64_t row_count, uint32_t seed)
      : offset_(offset), shape_(shape), first_slot_(static_cast<int32_t>(seed % kBlockTokens)) {
    ids_.resize((first_slot_ + row_count + kBlockTokens - 1) / kBlockTokens);
    for (size_t i = 0; i < ids_.size(); ++i) ids_[i] = static_cast<int32_t>(2 * i + 1);
    std::shuffle(ids_.begin(), ids_.end(), std::mt19937(seed));
  }

  int64_t size_bytes() const { return (2 * static_cast<int64_t>(ids_.size()) + 1) * BlockBytes(); }

  void Describe(v1::RegionSlice::PagedSlice* pages) const {
    pages->set_offset_bytes(offset_);
    pages->set_block_stride_bytes(BlockBytes());
    pages->set_slot_stride_bytes(shape_.head_bytes);
    pages->set_head_stride_bytes(kBlockTokens * shape_.head_bytes);
    pages->set_row_bytes(shape_.head_bytes);
    pages->set_block_size(kBlockTokens);
    pages->set_first_slot(first_slot_);
    pages->mutable_block_ids()->Add(ids_.begin(), ids_.end());
  }

  std::byte* Address(std::byte* region, int64_t row, int32_t head) const {
    const int64_t slot = first_slot_ + row;
    return region + offset_ + ids_[slot / kBlockTokens] * BlockBytes() +
           (head * kBlockTokens + slot % kBlockTokens) * shape_.head_bytes;
  }

 private:
  int64_t BlockBytes() const { return kBlockTokens * shape_.head_count * shape_.head_bytes; }

  int64_t offset_;
  PartShape shape_;
  int32_t first_slot_;
  std::vector<int32_t> ids_;
};

class RegionCarrier final : public Carrier {
 public:
  RegionCarrier(TestServer& server, RegionKind kind, bool paged)
      : paged_(paged), client_(server.server_options().local_socket.path), file_(kRegionBytes) {
    region_id_ = RegisterFile(client_, server.stub(), file_, kRegionBytes, kind);
    CHUNKKV_CHECK(!region_id_.empty());
  }

  void Prepare(v1::Begin& begin) override { begin.set_transfer_id("put " + std::to_string(++last_transfer_)); }

  v1::PutCacheRequest PartOf(const PartHeader& header, const Bytes& bytes, const PartShape& shape) override {
    v1::PutCacheRequest message = InlinePart(header, {});
    v1::TensorPayload* payload = message.mutable_part()->mutable_payload();
    payload->Clear();
    v1::RegionSlice* slice = payload->mutable_region();
    slice->set_region_id(region_id_);
    const auto size = static_cast<int64_t>(bytes.size());
    if (!paged_ || shape.head_bytes == 0) {
      slice->set_offset_bytes(Take(size));
      slice->set_length_bytes(size);
      std::memcpy(file_.bytes().data() + slice->offset_bytes(), bytes.data(), bytes.size());
      return message;
    }
    const int64_t rows = size / (shape.head_count * shape.head_bytes);
    const PagedPlace place = TakePages(shape, rows);
    place.Describe(slice->mutable_pages());
    for (int64_t row = 0; row < rows; ++row) {
      for (int32_t head = 0; head < shape.head_count; ++head) {
        const int64_t at = shape.head_major ? head * rows + row : row * shape.head_count + head;
        std::memcpy(place.Address(file_.bytes().data(), row, head), bytes.data() + at * shape.head_bytes,
                    shape.head_bytes);
      }
    }
    return message;
  }

  GotEntry Get(std::shared_ptr<grpc::Channel> channel, const v1::GetCacheRequest& request,
               const PutRequest& put) override;

 private:
  struct Place {
    TensorSpec spec;
    int64_t offset = 0;
    std::optional<PagedPlace> pages;
  };

  int64_t Take(int64_t size_bytes) {
    const int64_t offset = used_ + 3;  // at no particular alignment
    used_ = offset + size_bytes;
    CHUNKKV_CHECK(used_ <= kRegionBytes);
    return offset;
  }
  PagedPlace TakePages(const PartShape& shape, int64_t rows) {
    const PagedPlace place(used_ + 1, shape, rows, ++seed_);
    Take(place.size_bytes());
    return place;
  }
  Bytes ReadBack(const Place& place, int64_t row_count);

  const bool paged_;
  LocalClient client_;
  SharedFile file_;
  std::string region_id_;
  int64_t used_ = 0;
  uint32_t seed_ = 0;
  int last_transfer_ = 0;
};

Bytes RegionCarrier::ReadBack(const Place& place, int64_t row_count) {
  const int64_t size = place.spec.is_per_token() ? row_count * place.spec.row_bytes : place.spec.size_bytes;
  std::byte* const region = file_.bytes().data();
  if (!place.pages) return Bytes(region + place.offset, region + place.offset + size);
  Bytes bytes(size);
  const int64_t head_bytes = place.spec.row_bytes / place.spec.head_count;
  for (int64_t row = 0; row < row_count; ++row) {
    for (int32_t head = 0; head < place.spec.head_count; ++head) {
      std::memcpy(bytes.data() + (row * place.spec.head_count + head) * head_bytes,
                  place.pages->Address(region, row, head), head_bytes);
    }
  }
  return bytes;
}

GotEntry RegionCarrier::Get(std::shared_ptr<grpc::Channel> channel, const v1::GetCacheRequest& request,
                            const PutRequest& put) {
  v1::GetCacheRequest wire = request;
  wire.set_transfer_id("get " + std::to_string(++last_transfer_));
  std::map<int32_t, std::vector<Place>> places;
  const int32_t begin = wire.has_layers() ? wire.layers().begin() : 0;
  const int32_t end = wire.has_layers() ? wire.layers().end() : LayerCount(put.layout);
  for (int32_t layer = begin; layer < end; ++layer) {
    for (const TensorSpec& spec : LayerTensors(put.layout, layer)) {
      v1::GetCacheRequest::LayerTarget* target = wire.mutable_target()->add_layers();
      target->set_layer(layer);
      target->set_tensor(static_cast<v1::TensorKind>(spec.kind));
      if (!spec.is_per_token()) target->set_name(spec.name);
      target->mutable_slice()->set_region_id(region_id_);
      Place place = {spec, 0, std::nullopt};
      if (paged_ && spec.is_per_token() && spec.row_bytes > 0) {
        place.pages = TakePages({spec.head_count, spec.row_bytes / spec.head_count, false}, put.token_count);
        place.pages->Describe(target->mutable_slice()->mutable_pages());
      } else {
        const int64_t size = spec.is_per_token() ? put.token_count * spec.row_bytes : spec.size_bytes;
        place.offset = Take(size);
        target->mutable_slice()->set_offset_bytes(place.offset);
        target->mutable_slice()->set_length_bytes(size);
      }
      places[layer].push_back(place);
    }
  }

  GotEntry got;
  RawStream stream(std::move(channel), "GetCache");
  stream.Send(wire);
  stream.HalfClose();
  int32_t written = -1;
  while (const std::optional<std::string> bytes = stream.Receive()) {
    v1::GetCacheResponse response;
    CHUNKKV_CHECK(response.ParseFromString(*bytes));
    if (response.has_header()) {
      got.has_header = true;
      got.header = response.header();
    } else if (response.has_written()) {
      written = response.written().layer();
    } else if (response.has_layer_end()) {
      const v1::LayerEnd& layer_end = response.layer_end();
      if (layer_end.layer() != written) got.fault = "a layer ended that was not written";
      size_t tensor = 0;
      for (const Place& place : places[written]) {
        const int64_t rows = got.header.served_tokens() > 0 ? got.header.served_tokens() : RowsOf(got.header, written);
        const Bytes& read = got.tensors[{written, static_cast<int>(place.spec.kind),
                                         place.spec.is_per_token() ? "" : place.spec.name}] = ReadBack(place, rows);
        if (rpc::ToString(DigestTensor(read)) != layer_end.digests(static_cast<int>(tensor++)).digest()) {
          got.fault = "a digest is wrong";
        }
      }
      got.ended_layers.push_back(written);
    } else {
      got.fault = "a part came inline";
    }
  }
  got.end = stream.Finish();
  return got;
}

}  // namespace

std::unique_ptr<Carrier> MakeRegionCarrier(TestServer& server, RegionKind kind, bool paged) {
  return std::make_unique<RegionCarrier>(server, kind, paged);
}

}  // namespace chunkkv
