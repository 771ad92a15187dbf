// Token scores of puts, put together from messages.
#include <bit>
#include <cstring>
#include <utility>

#include "client/cpp/call.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/convert.h"
#include "client/cpp/part_codec.h"
#include "service/base/status_macros.h"

namespace chunkkv::client {
namespace {

static_assert(std::endian::native == std::endian::little, "scores are taken as they are sent");

// The put whose layers are arriving. What a message claims is held against the bytes that come, never allocated for.
class ArrivingPut {
 public:
  absl::Status Begin(const v1::RecordScoresResponse::RecordedPut& put) {
    if (IsOpen() || put.layer_count() < 1 || put.score_count() < 1 || put.layers_size() != put.layer_count()) {
      return BadReply("scores out of turn");
    }
    scores_.spec = FromProto(put.spec());
    scores_.token_count = put.token_count();
    scores_.layers.assign(put.layers().begin(), put.layers().end());
    layer_count_ = put.layer_count();
    score_count_ = put.score_count();
    return absl::OkStatus();
  }

  absl::Status Add(const v1::RecordScoresResponse::RecordedLayer& layer) {
    std::vector<std::vector<float>>& layers = scores_.token_scores;
    if (layers.empty() || static_cast<int64_t>(layers.back().size()) == score_count_) layers.emplace_back();
    std::vector<float>& scores = layers.back();
    const size_t begin = scores.size();
    const std::string& bytes = layer.token_scores();
    const size_t count = bytes.size() / sizeof(float);
    const bool is_next = layer.layer() == static_cast<int32_t>(layers.size()) - 1 && layer.begin() >= 0 &&
                         static_cast<size_t>(layer.begin()) == begin;
    if (!IsOpen() || !is_next || count == 0 || bytes.size() % sizeof(float) != 0 ||
        static_cast<int64_t>(begin + count) > score_count_) {
      return BadReply("scores out of turn");
    }
    scores.resize(begin + count);
    std::memcpy(scores.data() + begin, bytes.data(), bytes.size());
    return absl::OkStatus();
  }

  bool IsComplete() const {
    return IsOpen() && static_cast<int32_t>(scores_.token_scores.size()) == layer_count_ &&
           static_cast<int64_t>(scores_.token_scores.back().size()) == score_count_;
  }
  RecordedScores Take() {
    layer_count_ = 0;
    return std::exchange(scores_, {});
  }

 private:
  bool IsOpen() const { return layer_count_ > 0; }

  RecordedScores scores_;
  int32_t layer_count_ = 0;  // 0: none is arriving
  int64_t score_count_ = 0;
};

}  // namespace

absl::Status Client::RecordScores(const RecordRequest& request, const std::function<void(RecordedScores)>& on_put,
                                  const std::function<void()>& on_recording,
                                  const std::function<void(const SkippedPuts&)>& on_skipped,
                                  const CallOptions& options) {
  v1::RecordScoresRequest proto;
  SetModelRef(request.model, &proto);
  if (request.shard) ToProto(*request.shard, proto.mutable_shard());
  proto.set_put_count(request.put_count);
  CallContext context(impl_->metadata(), options);
  const auto reader = impl_->stub().RecordScores(context.get(), proto);
  ArrivingPut arriving;
  int32_t put_count = 0;
  absl::Status status;
  v1::RecordScoresResponse reply;
  while (reader->Read(&reply)) {
    if (!status.ok()) continue;
    if (reply.has_recording() && on_recording) on_recording();
    if (reply.has_skipped() && on_skipped) {
      on_skipped({reply.skipped().unscored(), reply.skipped().no_room(), reply.skipped().already_stored()});
    }
    if (reply.has_put()) status = arriving.Begin(reply.put());
    if (reply.has_layer()) status = arriving.Add(reply.layer());
    if (!status.ok()) context.get()->TryCancel();
    if (!arriving.IsComplete()) continue;
    on_put(arriving.Take());
    ++put_count;
  }
  const absl::Status ended = context.Convert(reader->Finish());
  if (!status.ok() || !ended.ok()) return status.ok() ? ended : status;
  return put_count == request.put_count ? ended : BadReply("a recording that ended before its last put");
}

}  // namespace chunkkv::client
