#include "tests/support/put_client.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "service/format/digest.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_identity.h"
#include "service/rpc/wire_layout.h"
#include "service/rpc/wire_spec.h"

namespace chunkkv {
namespace {

v1::TensorKind WireTensor(PartTensor tensor) { return static_cast<v1::TensorKind>(static_cast<int>(tensor) + 1); }
static_assert(static_cast<int>(PartTensor::kTokenScores) + 1 == v1::TENSOR_KIND_TOKEN_SCORES);

v1::RangeKind WireRange(RangeKind range) { return static_cast<v1::RangeKind>(static_cast<int>(range) + 1); }
static_assert(static_cast<int>(RangeKind::kBytes) + 1 == v1::RANGE_KIND_BYTES);

PartTensor PartTensorOf(TensorKind kind) { return static_cast<PartTensor>(static_cast<int>(kind) - 1); }
static_assert(static_cast<int>(PartTensor::kNamed) == static_cast<int>(TensorKind::kNamed) - 1);

constexpr int64_t kPieceBytes = 1 << 20;

PartShape ShapeOf(const TensorSpec& spec, bool head_major) {
  return {spec.head_count, spec.row_bytes / spec.head_count, head_major};
}

}  // namespace

v1::Begin BeginOf(const PutRequest& request) {
  v1::Begin begin;
  rpc::ToWire(request.model, begin.mutable_model());
  rpc::ToWire(request.shard, begin.mutable_shard());
  begin.mutable_prompt()->set_key(rpc::ToString(request.key));
  if (!request.prompt.digests.empty()) {
    begin.mutable_prompt()->set_key(rpc::ToString(request.prompt.digests.back()));
    begin.mutable_prompt()->set_block_size(request.prompt.block_size);
    begin.mutable_prompt()->set_token_count(request.prompt.token_count);
    for (const Bytes32& digest : request.prompt.digests) {
      begin.mutable_prompt()->add_block_digests(rpc::ToString(digest));
    }
  }
  rpc::ToWire(request.layout, begin.mutable_layout());
  for (size_t run = 0; run < request.layout.size(); ++run) {
    if (request.layout[run].is_attention() && request.layout[run].attention->head_major_parts) {
      begin.mutable_layout(static_cast<int>(run))->mutable_attention()->set_token_layout(v1::TOKEN_LAYOUT_HEAD_MAJOR);
    }
  }
  begin.set_token_count(request.token_count);
  rpc::ToWire(request.spec, begin.mutable_spec());
  begin.mutable_scores()->set_source(static_cast<v1::ScoreSource>(request.score_source));
  begin.mutable_scores()->set_dtype(rpc::ToWire(request.score_dtype));
  begin.mutable_scores()->set_lse(request.has_lse);
  begin.set_order(request.order == PartOrder::kAny ? v1::Begin::ANY : v1::Begin::LAYER_MAJOR);
  begin.set_send_mode(request.send_mode == SendMode::kSelectThenSend ? v1::Begin::SELECT_THEN_SEND
                                                                     : v1::Begin::SEND_ALL);
  begin.set_ttl_ms(request.ttl_ms);
  begin.set_pin_ms(request.pin_ms);
  if (request.content_digest) begin.set_content_digest(rpc::ToString(*request.content_digest));
  begin.set_next_position(request.next_position);
  begin.set_keys_contiguous(request.keys_contiguous);
  begin.mutable_group_row_counts()->Add(request.group_row_counts.begin(), request.group_row_counts.end());
  return begin;
}

v1::PutCacheRequest InlinePart(const PartHeader& header, const Bytes& bytes) {
  v1::PutCacheRequest message;
  v1::Part* part = message.mutable_part();
  part->set_layer(header.layer);
  part->set_tensor(WireTensor(header.tensor));
  part->set_name(header.name);
  part->set_range(WireRange(header.range));
  part->set_begin(header.begin);
  part->set_end(header.end);
  part->mutable_payload()->set_checksum(PartChecksum(bytes));
  part->mutable_payload()->set_inline_(bytes.data(), bytes.size());
  return message;
}

PartHeader RowsPart(const PutRequest& request, int32_t layer, size_t tensor, int64_t begin, int64_t end) {
  PartHeader header;
  header.layer = layer;
  header.tensor = PartTensorOf(LayerTensors(request.layout, layer)[tensor].kind);
  header.begin = begin;
  header.end = end;
  return header;
}

std::vector<std::pair<PartTensor, const Bytes*>> ScoreInputsOf(const PromptLayer& layer) {
  std::vector<std::pair<PartTensor, const Bytes*>> inputs = {{PartTensor::kQueries, &layer.queries},
                                                             {PartTensor::kLse, &layer.lse},
                                                             {PartTensor::kAttention, &layer.attention},
                                                             {PartTensor::kTokenScores, &layer.token_scores}};
  std::erase_if(inputs, [](const auto& input) { return input.second->empty(); });
  return inputs;
}

PartHeader BytesPart(int32_t layer, PartTensor tensor, int64_t begin, int64_t end) {
  PartHeader header;
  header.layer = layer;
  header.tensor = tensor;
  header.range = RangeKind::kBytes;
  header.begin = begin;
  header.end = end;
  return header;
}

std::optional<v1::PutCacheResponse> PutClient::Receive() {
  const std::optional<std::string> bytes = stream_.Receive();
  v1::PutCacheResponse response;
  if (!bytes || !response.ParseFromString(*bytes)) return std::nullopt;
  if (response.has_selection()) selections_[response.selection().group()] = response.selection();
  if (response.has_consumed()) consumed_.push_back(response.consumed());
  if (response.has_ready() && carrier_ != nullptr) carrier_->OnReady(response.ready());
  return response;
}

std::optional<v1::Begun> PutClient::Begin(const v1::Begin& begin) {
  v1::PutCacheRequest message;
  *message.mutable_begin() = begin;
  Send(message);
  const std::optional<v1::PutCacheResponse> response = Receive();
  if (!response || !response->has_begun()) return std::nullopt;
  return response->begun();
}

std::optional<v1::Begun> PutClient::Begin(const PutRequest& request) {
  v1::Begin begin = BeginOf(request);
  if (carrier_ != nullptr) carrier_->Prepare(begin);
  return Begin(begin);
}

bool PutClient::Attach(const std::string& session_id) {
  v1::PutCacheRequest message;
  message.mutable_attach()->set_session_id(session_id);
  return Send(message);
}

bool PutClient::AttachAndWait(PutClient& first, const std::string& session_id, const PutRequest& request,
                              const Prompt& prompt, int32_t layer) {
  return Attach(session_id) && SendScores(request, prompt, layer) &&
         SendRows(request, prompt, layer, 0, 0, request.token_count) && first.ReceiveSelection(layer).has_value();
}

bool PutClient::SendRows(const PutRequest& request, const Prompt& prompt, int32_t layer, size_t tensor, int64_t begin,
                         int64_t end) {
  const TensorSpec spec = LayerTensors(request.layout, layer)[tensor];
  const bool head_major = FindRun(request.layout, layer)->attention->head_major_parts;
  return SendPart(RowsPart(request, layer, tensor, begin, end),
                  PartBytes(spec, prompt[layer].tensors[tensor], begin, end, head_major), ShapeOf(spec, head_major));
}

bool PutClient::SendKeptRows(const PutRequest& request, const Prompt& prompt, int32_t layer, size_t tensor,
                             const std::vector<int32_t>& positions, int64_t begin, int64_t end) {
  const TensorSpec spec = LayerTensors(request.layout, layer)[tensor];
  Bytes rows;
  for (int64_t row = begin; row < end; ++row) {
    const auto from = prompt[layer].tensors[tensor].begin() + positions[row] * spec.row_bytes;
    rows.insert(rows.end(), from, from + spec.row_bytes);
  }
  PartHeader header = RowsPart(request, layer, tensor, begin, end);
  header.range = RangeKind::kKeptRows;
  const bool head_major = FindRun(request.layout, layer)->attention->head_major_parts;
  return SendPart(header, PartBytes(spec, rows, 0, end - begin, head_major), ShapeOf(spec, head_major));
}

bool PutClient::SendNamed(const PutRequest& request, const Prompt& prompt, int32_t layer) {
  const std::vector<TensorSpec> specs = LayerTensors(request.layout, layer);
  for (size_t tensor = 0; tensor < specs.size(); ++tensor) {
    const Bytes& bytes = prompt[layer].tensors[tensor];
    PartHeader header;
    header.layer = layer;
    header.tensor = PartTensor::kNamed;
    header.name = specs[tensor].name;
    header.range = RangeKind::kBytes;
    header.end = static_cast<int64_t>(bytes.size());
    if (!SendPart(header, bytes)) return false;
  }
  return true;
}

bool PutClient::SendScores(const PutRequest& request, const Prompt& prompt, int32_t layer) {
  if (!FindRun(request.layout, layer)->is_attention()) return true;
  for (const auto& [tensor, bytes] : ScoreInputsOf(prompt[layer])) {
    const auto size = static_cast<int64_t>(bytes->size());
    for (int64_t begin = 0; begin < size; begin += kPieceBytes) {
      const PartHeader header = BytesPart(layer, tensor, begin, std::min(begin + kPieceBytes, size));
      if (!SendPart(header, Bytes(bytes->begin() + header.begin, bytes->begin() + header.end))) return false;
    }
  }
  return true;
}

bool PutClient::SendLayer(const PutRequest& request, const Prompt& prompt, int32_t layer, int64_t part_tokens) {
  if (!FindRun(request.layout, layer)->is_attention()) return SendNamed(request, prompt, layer);
  if (!SendScores(request, prompt, layer)) return false;
  for (size_t tensor = 0; tensor < prompt[layer].tensors.size(); ++tensor) {
    for (int64_t begin = 0; begin < request.token_count; begin += part_tokens) {
      const int64_t end = std::min(begin + part_tokens, request.token_count);
      if (!SendRows(request, prompt, layer, tensor, begin, end)) return false;
    }
  }
  return true;
}

bool PutClient::SendPositions(int32_t group, const std::vector<int32_t>& positions) {
  v1::PutCacheRequest message;
  message.mutable_positions()->set_group(group);
  message.mutable_positions()->mutable_positions()->Add(positions.begin(), positions.end());
  return Send(message);
}

bool PutClient::SendCommit(const std::string& content_digest) {
  v1::PutCacheRequest message;
  message.mutable_commit()->set_content_digest(content_digest);
  return Send(message) && stream_.HalfClose();
}

std::optional<v1::Committed> PutClient::ReceiveCommitted() {
  while (const std::optional<v1::PutCacheResponse> response = Receive()) {
    if (response->has_committed()) return response->committed();
  }
  return std::nullopt;
}

std::optional<v1::Selection> PutClient::ReceiveSelection(int32_t group) {
  while (!selections_.contains(group)) {
    if (!Receive()) return std::nullopt;
  }
  return selections_[group];
}

namespace {

bool SendSelected(PutClient& client, const PutRequest& request, const Prompt& prompt, int32_t layer,
                  const std::vector<int32_t>& positions, int64_t part_tokens) {
  const auto rows = static_cast<int64_t>(positions.size());
  for (size_t tensor = 0; tensor < prompt[layer].tensors.size(); ++tensor) {
    for (int64_t begin = 0; begin < rows; begin += part_tokens) {
      if (!client.SendKeptRows(request, prompt, layer, tensor, positions, begin, std::min(begin + part_tokens, rows))) {
        return false;
      }
    }
  }
  return true;
}

int32_t GroupOfLayer(const v1::Begun& begun, int32_t attention_layer) {
  for (int32_t group = 0; group < begun.groups_size(); ++group) {
    const v1::ReuseGroup& reuse = begun.groups(group);
    if (attention_layer < reuse.first_layer() + reuse.layer_count()) return group;
  }
  return -1;
}

std::vector<int32_t> PositionsOf(const v1::Selection& selection, int64_t token_count) {
  std::vector<int32_t> positions(selection.positions().begin(), selection.positions().end());
  if (selection.everything()) {
    for (int64_t token = 0; token < token_count; ++token) positions.push_back(static_cast<int32_t>(token));
  }
  return positions;
}

void SendEverything(PutClient& client, const PutRequest& request, const Prompt& prompt, const v1::Begun& begun,
                    int64_t part_tokens, const std::vector<std::vector<int32_t>>& external) {
  const int32_t layer_count = LayerCount(request.layout);
  if (request.spec.policy == Policy::kExternal || request.send_mode == SendMode::kSelectThenSend) {
    for (size_t group = 0; group < external.size(); ++group) {
      client.SendPositions(static_cast<int32_t>(group), external[group]);
    }
    for (int32_t layer = 0; external.empty() && layer < layer_count; ++layer) {
      client.SendScores(request, prompt, layer);
    }
    for (int32_t layer = 0; layer < layer_count; ++layer) {
      const int32_t attention_layer = AttentionIndex(request.layout, layer);
      if (attention_layer < 0) {
        client.SendNamed(request, prompt, layer);
        continue;
      }
      const int32_t group = GroupOfLayer(begun, attention_layer);
      std::vector<int32_t> positions;
      if (external.empty()) {
        const std::optional<v1::Selection> selection = client.ReceiveSelection(group);
        if (!selection) return;
        positions = PositionsOf(*selection, request.token_count);
      } else {
        positions = external[group];
      }
      if (!SendSelected(client, request, prompt, layer, positions, part_tokens)) return;
    }
  } else if (request.order == PartOrder::kLayerMajor) {
    for (int32_t layer = 0; layer < layer_count; ++layer) client.SendLayer(request, prompt, layer, part_tokens);
  } else {
    // As chunked prefill does: token range by token range over all layers, scores at the end.
    for (int64_t begin = 0; begin < request.token_count; begin += part_tokens) {
      const int64_t end = std::min(begin + part_tokens, request.token_count);
      for (int32_t layer = layer_count - 1; layer >= 0; --layer) {
        if (!FindRun(request.layout, layer)->is_attention()) continue;
        for (size_t tensor = 0; tensor < prompt[layer].tensors.size(); ++tensor) {
          client.SendRows(request, prompt, layer, tensor, begin, end);
        }
      }
    }
    for (int32_t layer = 0; layer < layer_count; ++layer) {
      if (FindRun(request.layout, layer)->is_attention()) {
        client.SendScores(request, prompt, layer);
      } else {
        client.SendNamed(request, prompt, layer);
      }
    }
  }
  client.SendCommit();
}

}  // namespace

PutResult PutAll(std::shared_ptr<grpc::Channel> channel, const PutRequest& request, const Prompt& prompt,
                 int64_t part_tokens, const std::vector<std::vector<int32_t>>& external, Carrier* carrier) {
  PutResult result;
  PutClient client(std::move(channel), carrier);
  result.begun = client.Begin(request);
  if (result.begun && !result.begun->has_already_stored()) {
    SendEverything(client, request, prompt, *result.begun, part_tokens, external);
    result.committed = client.ReceiveCommitted();
  }
  result.selections = client.selections();
  result.consumed = client.consumed();
  result.end = client.Finish();
  return result;
}

}  // namespace chunkkv
