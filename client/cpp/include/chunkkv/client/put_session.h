// One put in progress, for callers who have a cache piece by piece: layer after layer as prefill computes it.
#ifndef CHUNKKV_CLIENT_PUT_SESSION_H_
#define CHUNKKV_CLIENT_PUT_SESSION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/client/types.h"

namespace chunkkv::client {

// Made by Client::BeginPut. Until Commit nobody sees anything; destroying a session that was not committed ends it and
// leaves nothing behind. Sends may come from several threads; under LAYER_MAJOR each connection carries layers in
// order, layer l on connection l modulo channel_count.
//
// Bytes that are sent are viewed, not copied: they must stay as they are until Flush, Commit or the destructor has
// returned.
class PutSession {
 public:
  ~PutSession();
  PutSession(const PutSession&) = delete;
  PutSession& operator=(const PutSession&) = delete;

  const PutBegun& begun() const;

  // Rows [begin, end) of a per-token tensor, by token position. Cut into parts of about 1 MiB, where the layout is
  // token-major; a head-major range travels as parts of whole tokens too, gathered from [heads, end - begin, size].
  // Errors: the put's failure (INVALID_ARGUMENT, RESOURCE_EXHAUSTED, ...); nothing more can be sent then.
  absl::Status SendTokens(int32_t layer, PartTensor tensor, int64_t begin, int64_t end,
                          absl::Span<const std::byte> bytes);
  // Rows [begin, end) of the group's kept rows: SELECT_THEN_SEND and kExternal.
  absl::Status SendKeptRows(int32_t layer, PartTensor tensor, int64_t begin, int64_t end,
                            absl::Span<const std::byte> bytes);
  // Queries, LSE, attention, token scores, or (with its name) a VERBATIM tensor, whole.
  absl::Status SendBytes(int32_t layer, PartTensor tensor, absl::Span<const std::byte> bytes,
                         std::string_view name = "");
  // kExternal: kept positions of a group, before its rows.
  absl::Status SendPositions(int32_t group, absl::Span<const int32_t> positions);

  // Blocks until the positions of `group` are final.
  absl::StatusOr<Selection> AwaitSelection(int32_t group);

  // Blocks until nothing refers to bytes that were sent.
  void Flush();

  // Ends the put. `content_digest` over K and V as sent makes the server compare. Called once.
  // Errors: FAILED_PRECONDITION (LOW_RETAINED_MASS), DATA_LOSS, whatever ended the put before.
  absl::StatusOr<PutResult> Commit(const std::optional<Bytes16>& content_digest = std::nullopt);

  class Impl;
  explicit PutSession(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_PUT_SESSION_H_
