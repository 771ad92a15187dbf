#include "service/rpc/record_stream.h"

#include <bit>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/call_checks.h"
#include "service/rpc/decode_request.h"
#include "service/rpc/wire_identity.h"
#include "service/rpc/wire_spec.h"

namespace chunkkv::rpc {
namespace {

constexpr int32_t kMostPuts = 65536;
constexpr int64_t kTokensAMessage = (256 << 10) / sizeof(float);
// Large messages, which no budget counts.
constexpr size_t kMessagesAhead = 2;

static_assert(std::endian::native == std::endian::little, "scores are sent as they are in memory");

}  // namespace

absl::Status RecordStream::Begin(const grpc::ByteBuffer& request) {
  v1::RecordScoresRequest wire;
  CHUNKKV_RETURN_IF_ERROR(DecodeRequest(request, &wire));
  CHUNKKV_RETURN_IF_ERROR(CheckFeatures(wire.required_features()));
  if (wire.put_count() < 1 || wire.put_count() > kMostPuts) {
    return InvalidArgument("BAD_PUT_COUNT", "put_count must be 1 to " + std::to_string(kMostPuts));
  }
  puts_left_ = wire.put_count();
  CHUNKKV_ASSIGN_OR_RETURN(const ModelRef ref, ModelRefFromWire(wire));
  KnownModels known(tenant(), context().store);
  RecordFilter filter{.tenant = tenant(), .fingerprint = ref.fingerprint, .shard = Shard()};
  CHUNKKV_ASSIGN_OR_RETURN(filter.shard, ResolveWireShard(wire.has_shard() ? &wire.shard() : nullptr, ref, known));
  if (filter.shard.layer_count == 0 || filter.shard.kv_head_count == 0) {
    return InvalidArgument("MODEL_MISSING",
                           "nothing of this fingerprint is stored: name the model or the shard's counts");
  }
  recording_ = context().recorder.Start(std::move(filter), Wake());
  v1::RecordScoresResponse response;
  response.mutable_recording();
  Send(response);
  return absl::OkStatus();
}

void RecordStream::SendSome() {
  if (HasRoom(kMessagesAhead)) SendSkipped();  // totals can wait, but for the last
  while (HasRoom(kMessagesAhead)) {
    if (put_ == nullptr && !BeginPut()) return;
    SendScores();
  }
}

void RecordStream::SendSkipped() {
  const ScoreRecording::Skipped skipped = recording_->skipped();
  if (skipped == std::exchange(told_, skipped)) return;
  v1::RecordScoresResponse response;
  response.mutable_skipped()->set_unscored(skipped.unscored);
  response.mutable_skipped()->set_no_room(skipped.no_room);
  response.mutable_skipped()->set_already_stored(skipped.already_stored);
  Send(response);
}

bool RecordStream::BeginPut() {
  put_ = recording_->Take();
  if (put_ == nullptr) return false;
  next_layer_ = 0;
  next_token_ = 0;
  v1::RecordScoresResponse response;
  v1::RecordScoresResponse::RecordedPut* const put = response.mutable_put();
  ToWire(put_->spec, put->mutable_spec());
  put->set_token_count(put_->token_count);
  put->set_layer_count(LayerCount());
  put->mutable_layers()->Add(put_->layers.begin(), put_->layers.end());
  put->set_score_count(put_->past_length);
  Send(response);
  return true;
}

void RecordStream::SendScores() {
  const absl::Span<const float> scores = put_->Layer(next_layer_).subspan(next_token_, kTokensAMessage);
  v1::RecordScoresResponse response;
  v1::RecordScoresResponse::RecordedLayer* const layer = response.mutable_layer();
  layer->set_layer(next_layer_);
  layer->set_begin(next_token_);
  layer->set_token_scores(scores.data(), scores.size() * sizeof(float));
  Send(response);
  next_token_ += static_cast<int64_t>(scores.size());
  if (next_token_ < put_->past_length) return;
  next_token_ = 0;
  if (++next_layer_ < LayerCount()) return;
  put_ = nullptr;
  if (--puts_left_ > 0) return;
  SendSkipped();
  End(absl::OkStatus());
}

}  // namespace chunkkv::rpc
