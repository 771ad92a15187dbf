#include <algorithm>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "chunkkv/client/client.h"
#include "chunkkv/kernels/status.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/local_scores.h"
#include "service/base/mutex.h"
#include "service/base/status_macros.h"

namespace chunkkv::client {
namespace {

using Bytes = absl::Span<const std::byte>;

absl::Status SendScores(PutSession& session, int32_t layer, const LayerArrays& arrays) {
  CHUNKKV_RETURN_IF_ERROR(session.SendBytes(layer, PartTensor::kQueries, arrays.queries));
  CHUNKKV_RETURN_IF_ERROR(session.SendBytes(layer, PartTensor::kLse, arrays.lse));
  CHUNKKV_RETURN_IF_ERROR(session.SendBytes(layer, PartTensor::kAttention, arrays.attention));
  return session.SendBytes(layer, PartTensor::kTokenScores, arrays.token_scores);
}

struct StoredArray {
  PartTensor tensor;
  Bytes bytes;
};

std::vector<StoredArray> StoredArrays(const LayerArrays& arrays) {
  std::vector<StoredArray> stored;
  for (const StoredArray& array : {StoredArray{PartTensor::kKeys, arrays.keys},
                                   {PartTensor::kValues, arrays.values},
                                   {PartTensor::kKeyScales, arrays.key_scales},
                                   {PartTensor::kValueScales, arrays.value_scales}}) {
    if (!array.bytes.empty()) stored.push_back(array);
  }
  return stored;
}

absl::Status SendNamed(PutSession& session, int32_t layer, const LayerArrays& arrays) {
  for (const auto& [name, bytes] : arrays.named) {
    CHUNKKV_RETURN_IF_ERROR(session.SendBytes(layer, PartTensor::kNamed, bytes, name));
  }
  return absl::OkStatus();
}

// Everything of one layer: scores first, so that the server can choose while rows arrive.
absl::Status SendLayer(PutSession& session, int32_t layer, int64_t token_count, const LayerArrays& arrays) {
  CHUNKKV_RETURN_IF_ERROR(SendScores(session, layer, arrays));
  for (const StoredArray& array : StoredArrays(arrays)) {
    CHUNKKV_RETURN_IF_ERROR(session.SendTokens(layer, array.tensor, 0, token_count, array.bytes));
  }
  return SendNamed(session, layer, arrays);
}

// Rows of one tensor at `positions`, dense, in the order of `bytes`: [L, heads, size], or [heads, L, size].
std::vector<std::byte> GatherRows(Bytes bytes, int64_t token_count, int32_t head_count, bool head_major,
                                  const std::vector<int32_t>& positions) {
  const int64_t planes = head_major ? head_count : 1;
  const size_t row_bytes = bytes.size() / token_count / planes;
  std::vector<std::byte> rows(planes * positions.size() * row_bytes);
  std::byte* to = rows.data();
  for (int64_t plane = 0; plane < planes; ++plane) {
    for (const int32_t position : positions) {
      std::memcpy(to, bytes.data() + (plane * token_count + position) * row_bytes, row_bytes);
      to += row_bytes;
    }
  }
  return rows;
}

// Waits for bytes that were sent before they go out of scope: declared after them.
struct FlushAtEnd {
  PutSession& session;
  ~FlushAtEnd() { session.Flush(); }
};

absl::Status SelectThenSend(PutSession& session, const PutRequest& request, absl::Span<const LayerArrays> layers) {
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    CHUNKKV_RETURN_IF_ERROR(SendScores(session, static_cast<int32_t>(layer), layers[layer]));
    CHUNKKV_RETURN_IF_ERROR(SendNamed(session, static_cast<int32_t>(layer), layers[layer]));
  }
  const std::vector<int32_t> attention_layers = AttentionLayers(request.layout);
  for (size_t group = 0; group < session.begun().groups.size(); ++group) {
    const ReuseGroup& reuse = session.begun().groups[group];
    if (reuse.first_layer < 0 || reuse.first_layer + int64_t{reuse.layer_count} > int64_t(attention_layers.size())) {
      return ErrorStatus(absl::StatusCode::kDataLoss, "BAD_REPLY", "the server names groups that are not there");
    }
    CHUNKKV_ASSIGN_OR_RETURN(Selection selection, session.AwaitSelection(static_cast<int32_t>(group)));
    if (selection.everything) {
      for (int64_t token = 0; token < request.token_count; ++token) selection.positions.push_back(int32_t(token));
    }
    const bool in_range = std::all_of(selection.positions.begin(), selection.positions.end(),
                                      [&](int32_t at) { return at >= 0 && at < request.token_count; });
    if (!in_range) return ErrorStatus(absl::StatusCode::kDataLoss, "BAD_REPLY", "a kept position is out of range");
    for (int32_t index = reuse.first_layer; index < reuse.first_layer + reuse.layer_count; ++index) {
      const int32_t layer = attention_layers[index];
      const AttentionRun& run = *FindRun(request.layout, layer)->attention;
      std::vector<std::vector<std::byte>> gathered;
      const FlushAtEnd flush{session};
      for (const StoredArray& array : StoredArrays(layers[layer])) {
        gathered.push_back(
            GatherRows(array.bytes, request.token_count, run.kv_head_count, run.head_major_parts, selection.positions));
        CHUNKKV_RETURN_IF_ERROR(
            session.SendKeptRows(layer, array.tensor, 0, int64_t(selection.positions.size()), gathered.back()));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status SendExternal(PutSession& session, const PutRequest& request, absl::Span<const LayerArrays> layers,
                          absl::Span<const std::vector<int32_t>> positions) {
  const std::vector<ReuseGroup>& groups = session.begun().groups;
  if (positions.size() != groups.size()) {
    return InvalidArgument("BAD_ARRAY", absl::StrCat("positions has ", positions.size(),
                                                     " lists, expected one for each of ", groups.size(), " groups"));
  }
  for (size_t group = 0; group < groups.size(); ++group) {
    CHUNKKV_RETURN_IF_ERROR(session.SendPositions(static_cast<int32_t>(group), positions[group]));
  }
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const int32_t number = static_cast<int32_t>(layer);
    const int32_t index = AttentionIndex(request.layout, number);
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const ReuseGroup& one) {
      return index >= one.first_layer && index < one.first_layer + one.layer_count;
    });
    CHUNKKV_RETURN_IF_ERROR(SendNamed(session, number, layers[layer]));
    if (group == groups.end()) continue;
    const int64_t rows = static_cast<int64_t>(positions[group - groups.begin()].size());
    for (const StoredArray& array : StoredArrays(layers[layer])) {
      CHUNKKV_RETURN_IF_ERROR(session.SendKeptRows(number, array.tensor, 0, rows, array.bytes));
    }
  }
  return absl::OkStatus();
}

// Layers over the session's connections, one thread each.
absl::Status SendAll(PutSession& session, const PutRequest& request, absl::Span<const LayerArrays> layers) {
  const size_t stream_count = static_cast<size_t>(std::clamp<int32_t>(request.channel_count, 1, kMaxChannels));
  Mutex mutex;
  absl::Status failure;
  const auto send_share = [&](size_t share) {
    for (size_t layer = share; layer < layers.size(); layer += stream_count) {
      const absl::Status status = SendLayer(session, static_cast<int32_t>(layer), request.token_count, layers[layer]);
      if (status.ok()) continue;
      MutexLock lock(mutex);
      if (failure.ok()) failure = status;
      return;
    }
  };
  std::vector<std::thread> threads;
  for (size_t share = 1; share < stream_count; ++share) threads.emplace_back(send_share, share);
  send_share(0);
  for (std::thread& thread : threads) thread.join();
  return failure;
}

absl::Status CheckArrays(const PutRequest& request, absl::Span<const LayerArrays> layers) {
  if (layers.size() != static_cast<size_t>(LayerCount(request.layout))) {
    return InvalidArgument("BAD_ARRAY", absl::StrCat("layers has ", layers.size(), " elements, the layout ",
                                                     LayerCount(request.layout), " layers"));
  }
  if (request.send_mode != SendMode::kSelectThenSend) return absl::OkStatus();
  for (const int32_t layer : AttentionLayers(request.layout)) {
    const std::vector<TensorSpec> specs = LayerTensors(request.layout, layer);
    const std::vector<StoredArray> arrays = StoredArrays(layers[layer]);
    bool fits = specs.size() == arrays.size();
    for (size_t i = 0; fits && i < specs.size(); ++i) {
      fits = static_cast<int64_t>(arrays[i].bytes.size()) == request.token_count * specs[i].row_bytes;
    }
    if (!fits) return InvalidArgument("BAD_ARRAY", absl::StrCat("layer ", layer, ": arrays differ from the layout"));
  }
  return absl::OkStatus();
}

// Makes each layer send its token scores instead of what they were computed from.
void ReplaceScores(const std::vector<std::vector<float>>& scores, std::vector<LayerArrays>& arrays) {
  for (size_t layer = 0; layer < arrays.size(); ++layer) {
    arrays[layer].queries = arrays[layer].lse = arrays[layer].attention = {};
    arrays[layer].token_scores = {reinterpret_cast<const std::byte*>(scores[layer].data()),
                                  scores[layer].size() * sizeof(float)};
  }
}

}  // namespace

absl::StatusOr<PutResult> Client::Put(const PutRequest& request, absl::Span<const LayerArrays> layers,
                                      const CallOptions& options, absl::Span<const std::vector<int32_t>> positions) {
  CHUNKKV_RETURN_IF_ERROR(ValidateLayout(request.layout, LayoutLimits()));
  CHUNKKV_RETURN_IF_ERROR(CheckArrays(request, layers));
  PutRequest sent = request;
  std::vector<LayerArrays> arrays(layers.begin(), layers.end());
  std::vector<std::vector<float>> scores;
  if (request.send_mode == SendMode::kSelectThenSend) {
    // All scores travel before the first kept row does, which layer order would not allow.
    sent.order = PartOrder::kAny;
    if (request.score_source == ScoreSource::kQueryWindow || request.score_source == ScoreSource::kAttention) {
      CHUNKKV_ASSIGN_OR_RETURN(scores, ComputeTokenScores(request, layers));
      sent.score_source = ScoreSource::kTokenScores;
      sent.score_dtype = DType::kF32;
      sent.has_lse = false;
      ReplaceScores(scores, arrays);
    }
  }
  CHUNKKV_ASSIGN_OR_RETURN(const std::unique_ptr<PutSession> session, BeginPut(sent, options));
  if (!session->begun().already_stored) {
    if (request.spec.policy == Policy::kExternal) {
      CHUNKKV_RETURN_IF_ERROR(SendExternal(*session, sent, arrays, positions));
    } else if (request.send_mode == SendMode::kSelectThenSend) {
      CHUNKKV_RETURN_IF_ERROR(SelectThenSend(*session, sent, arrays));
    } else {
      CHUNKKV_RETURN_IF_ERROR(SendAll(*session, sent, arrays));
    }
  }
  return session->Commit(request.content_digest);
}

}  // namespace chunkkv::client
