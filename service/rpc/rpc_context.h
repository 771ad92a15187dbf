// What every RPC works with. Made by the server, which owns all of it.
#ifndef CHUNKKV_SERVICE_RPC_RPC_CONTEXT_H_
#define CHUNKKV_SERVICE_RPC_RPC_CONTEXT_H_

#include <cstdint>

#include "chunkkv/kernels/compaction_device.h"
#include "chunkkv/kernels/compactor.h"
#include "service/base/clock.h"
#include "service/base/executor.h"
#include "service/operation/metrics.h"
#include "service/operation/span_exporter.h"
#include "service/rpc/load_rate.h"
#include "service/rpc/rpc_limits.h"
#include "service/rpc/session_table.h"
#include "service/rpc/stream_slots.h"
#include "service/rpc/tenant_resolver.h"
#include "service/rpc/timers.h"
#include "service/session/profile_table.h"
#include "service/session/put_session.h"
#include "service/session/score_recorder.h"
#include "service/store/entry_store.h"
#include "service/transfer/nccl/channel_host.h"
#include "service/transfer/region/local_transfers.h"

namespace chunkkv::rpc {

// Everything referred to is thread-safe and outlives every RPC.
struct RpcContext {
  const RpcLimits limits;
  const SessionLimits session_limits;
  const StoreOptions store_options;
  EntryStore& store;
  const CompactionDevice& device;
  const Compactor& compactor;  // the device's
  Executor& compaction_executor;
  Executor& request_executor;  // decoding, checks, and the preparation of what gets send
  const Clock& clock;
  Timers& timers;
  StreamSlots& streams;
  SessionTable& sessions;
  ScoreRecorder& recorder;
  const ProfileTable& profiles;
  LoadRate& load_rate;
  LocalTransfers& local;
  ChannelHost& channels;
  const TenantResolver& tenants;
  Metrics& metrics;
  SpanExporter* const spans;  // null: none are wanted
  const int64_t started_monotonic_ms;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_RPC_CONTEXT_H_
