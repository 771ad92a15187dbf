// An entry received straight into the body of a record.
#ifndef CHUNKKV_CLIENT_CLI_RECEIVED_RECORD_H_
#define CHUNKKV_CLIENT_CLI_RECEIVED_RECORD_H_

#include <cstddef>
#include <functional>
#include <memory>

#include "absl/types/span.h"
#include "chunkkv/client/types.h"

namespace chunkkv::cli {

class ReceivedRecord {
 public:
  // Makes `request`, of a whole entry, place its tensors here. The record must outlive the get.
  void PlaceInto(client::GetRequest& request, std::function<void(const EntryHeader&)> on_header);
  // After the get: digests of what was re-rotated, and the identity as asked.
  void Finish(const client::CachedEntry& entry, const client::ModelRef& model);
  const EntryHeader& header() const { return header_; }
  absl::Span<const std::byte> body() const { return {body_.get(), static_cast<size_t>(header_.BodyBytes())}; }

 private:
  EntryHeader header_;
  std::unique_ptr<std::byte[]> body_;
};

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_RECEIVED_RECORD_H_
