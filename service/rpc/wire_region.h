// Places in regions, from the wire.
#ifndef CHUNKKV_SERVICE_RPC_WIRE_REGION_H_
#define CHUNKKV_SERVICE_RPC_WIRE_REGION_H_

#include <string>

#include "absl/status/statusor.h"
#include "chunkkv/v1/payload.pb.h"
#include "service/format/bytes.h"
#include "service/transfer/region/region_part.h"

namespace chunkkv::rpc {

// Errors: INVALID_ARGUMENT BAD_REGION_ID.
absl::StatusOr<Bytes16> RegionIdFromWire(const std::string& region_id);

// Errors: INVALID_ARGUMENT TRANSFER_ID_TOO_LONG.
absl::Status CheckTransferIdLength(const std::string& transfer_id);

// Numbers as they are: RegionPart checks them.
RegionSlice RegionSliceFromWire(const v1::RegionSlice& wire);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_WIRE_REGION_H_
