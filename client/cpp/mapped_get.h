// Gets of entries that stay where they are, in the server's memory.
#ifndef CHUNKKV_CLIENT_CPP_MAPPED_GET_H_
#define CHUNKKV_CLIENT_CPP_MAPPED_GET_H_

#include "absl/status/statusor.h"
#include "chunkkv/client/types.h"
#include "chunkkv/v1/get.pb.h"
#include "client/cpp/client_impl.h"

namespace chunkkv::client {

// `proto` is the request without its target. Asks on the local socket where that is possible, else, or where that is
// refused, over gRPC. Errors: as Client::Get, and FAILED_PRECONDITION (REGIONS_DISABLED, MAPPING_DISABLED).
absl::StatusOr<CachedEntry> RunMappedGet(Client::Impl& client, const GetRequest& request, v1::GetCacheRequest proto,
                                         const CallOptions& options);

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_MAPPED_GET_H_
