#include "service/rpc/session_table.h"

#include <utility>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "service/rpc/put_call.h"

namespace chunkkv::rpc {

void SessionTable::Add(const Bytes16& id, const std::string& tenant, std::shared_ptr<PutCall> call) {
  MutexLock lock(mutex_);
  rows_.emplace(id, Row{tenant, std::move(call)});
}

void SessionTable::Remove(const Bytes16& id) {
  std::shared_ptr<PutCall> call;  // released outside the lock
  MutexLock lock(mutex_);
  const auto found = rows_.find(id);
  if (found == rows_.end()) return;
  call = std::move(found->second.call);
  rows_.erase(found);
}

absl::StatusOr<std::shared_ptr<PutCall>> SessionTable::Find(const Bytes16& id, const std::string& tenant) const {
  MutexLock lock(mutex_);
  const auto found = rows_.find(id);
  if (found == rows_.end() || found->second.tenant != tenant) {
    return ErrorStatus(absl::StatusCode::kNotFound, "SESSION_NOT_FOUND", "attach.session_id: no such session");
  }
  return found->second.call;
}

void SessionTable::EndStalled() {
  std::vector<std::shared_ptr<PutCall>> calls;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, row] : rows_) calls.push_back(row.call);
  }
  for (const auto& call : calls) call->session().EndIfStalled();
}

int64_t SessionTable::size() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(rows_.size());
}

}  // namespace chunkkv::rpc
