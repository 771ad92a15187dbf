#include "service/transfer/region/transfer_table.h"

#include "chunkkv/kernels/status.h"

namespace chunkkv {

absl::StatusOr<TransferPtr> TransferTable::Begin(const std::string& tenant, const std::string& transfer_id) {
  if (transfer_id.empty()) {
    return InvalidArgument("TRANSFER_ID_MISSING", "transfer_id: needed where memory of the client is touched");
  }
  Name name(tenant, transfer_id);
  MutexLock lock(mutex_);
  if (quiesced_.contains(name)) {
    return ErrorStatus(absl::StatusCode::kAborted, "TRANSFER_QUIESCED", "transfer_id: it was quiesced before it began");
  }
  const auto [at, inserted] = transfers_.try_emplace(name, nullptr);
  if (!inserted) return FailedPrecondition("TRANSFER_ID_IN_USE", "transfer_id: another transfer in progress has it");
  TransferPtr transfer(new Transfer(tenant), [this, name = std::move(name)](Transfer* ended) {
    {
      MutexLock lock(mutex_);
      transfers_.erase(name);
    }
    delete ended;
  });
  at->second = transfer.get();
  return transfer;
}

void TransferTable::Quiesce(const std::string& tenant, const std::string& transfer_id, std::function<void()> quiet) {
  Name name(tenant, transfer_id);
  std::shared_ptr<Gate> gate;
  {
    MutexLock lock(mutex_);
    if (const auto found = transfers_.find(name); found != transfers_.end()) gate = found->second->gate_;
    if (quiesced_.insert(name).second) {
      oldest_quiesced_.push_back(std::move(name));
      if (oldest_quiesced_.size() > kMostQuiesced) {
        quiesced_.erase(oldest_quiesced_.front());
        oldest_quiesced_.pop_front();
      }
    }
  }
  if (gate == nullptr) return quiet();
  gate->Close(std::move(quiet));
}

int64_t TransferTable::size() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(transfers_.size());
}

}  // namespace chunkkv
