// Which entry the reply to a get must be of.
#ifndef CHUNKKV_CLIENT_CPP_EXPECTED_ENTRY_H_
#define CHUNKKV_CLIENT_CPP_EXPECTED_ENTRY_H_

#include <optional>

#include "absl/status/status.h"
#include "chunkkv/client/types.h"
#include "chunkkv/v1/get.pb.h"

namespace chunkkv::client {

// As the server derives it. Empty for a prompt that the server refuses.
std::optional<Bytes32> KeyOf(const Prompt& prompt);

// What the request does not settle may be anything.
class ExpectedEntry {
 public:
  explicit ExpectedEntry(const GetRequest& request);
  // Errors: DATA_LOSS (ANOTHER_ENTRY), naming what differs.
  absl::Status Check(const v1::GetHeader& header) const;

 private:
  bool is_exact_ = false;
  std::optional<Bytes32> fingerprint_;
  std::optional<Bytes32> key_;
  std::optional<Bytes32> variant_;
  std::optional<Bytes16> entry_id_;
  std::optional<Shard> shard_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_EXPECTED_ENTRY_H_
