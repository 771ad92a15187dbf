// Puts in progress by their ids, so that further streams find them.
#ifndef CHUNKKV_SERVICE_RPC_SESSION_TABLE_H_
#define CHUNKKV_SERVICE_RPC_SESSION_TABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "service/base/mutex.h"
#include "service/format/bytes.h"

namespace chunkkv::rpc {

class PutCall;

// Thread-safe. A session is found by its own tenant only.
class SessionTable {
 public:
  void Add(const Bytes16& id, const std::string& tenant, std::shared_ptr<PutCall> call);
  void Remove(const Bytes16& id);
  // Errors: NOT_FOUND (SESSION_NOT_FOUND), the same for another tenant's.
  absl::StatusOr<std::shared_ptr<PutCall>> Find(const Bytes16& id, const std::string& tenant) const;
  // Ends those whose streams wait for each other: see PutSession::EndIfStalled.
  void EndStalled();
  int64_t size() const;

 private:
  struct Row {
    std::string tenant;
    std::shared_ptr<PutCall> call;
  };
  mutable Mutex mutex_;
  std::unordered_map<Bytes16, Row, FixedBytesHash> rows_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_SESSION_TABLE_H_
