#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_PEER_ID_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_PEER_ID_H_

#include <cstdint>

namespace chunkkv {

// One connection to the local socket, and so one client process at the most. Never used again.
using PeerId = uint64_t;

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_PEER_ID_H_
