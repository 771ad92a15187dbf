// Entries as readers see them: a get's header, and metadata without the bytes.
#ifndef CHUNKKV_SERVICE_RPC_WIRE_ENTRY_H_
#define CHUNKKV_SERVICE_RPC_WIRE_ENTRY_H_

#include "chunkkv/v1/catalog.pb.h"
#include "chunkkv/v1/get.pb.h"
#include "service/store/entry_store.h"
#include "service/transfer/served_layer.h"

namespace chunkkv::rpc {

struct ServedRange {
  int32_t first_layer = 0;
  int32_t layer_count = 0;
  ServeOptions options;
};

v1::Tier ToWire(Tier tier);

void ToWire(const Entry& entry, const ServedRange& range, v1::GetHeader* wire);

// Without what only the store knows (last use, pins, hits).
void ToWire(const PlacedEntry& placed, bool with_positions, v1::EntryInfo* wire);
void ToWire(const EntryState& state, bool with_positions, v1::EntryInfo* wire);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_WIRE_ENTRY_H_
