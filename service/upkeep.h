// What a server does by itself, once a second: ends leases, entries and stalled puts whose time has come, and verifies
// stored bytes.
#ifndef CHUNKKV_SERVICE_UPKEEP_H_
#define CHUNKKV_SERVICE_UPKEEP_H_

#include <atomic>
#include <cstdint>

#include "service/base/executor.h"
#include "service/rpc/session_table.h"
#include "service/rpc/timers.h"
#include "service/store/entry_store.h"
#include "service/transfer/region/mapping_table.h"

namespace chunkkv {

// The work runs on the executor, never twice at a time. The executor and the timers must have ended before this does.
class Upkeep {
 public:
  Upkeep(EntryStore& store, rpc::SessionTable& sessions, MappingTable& mappings, Executor& executor,
         rpc::Timers& timers, int64_t scrub_bytes_per_second)
      : store_(store),
        sessions_(sessions),
        mappings_(mappings),
        executor_(executor),
        timers_(timers),
        scrub_bytes_per_second_(scrub_bytes_per_second) {}
  void Start() { ScheduleNext(); }
  void Stop() { stopped_ = true; }

 private:
  void ScheduleNext();

  EntryStore& store_;
  rpc::SessionTable& sessions_;
  MappingTable& mappings_;
  Executor& executor_;
  rpc::Timers& timers_;
  const int64_t scrub_bytes_per_second_;
  std::atomic<bool> stopped_{false};
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_UPKEEP_H_
