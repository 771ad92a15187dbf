#ifndef CHUNKKV_TESTS_SUPPORT_HOST_CHANNELS_H_
#define CHUNKKV_TESTS_SUPPORT_HOST_CHANNELS_H_

#include <string>

#include "absl/status/statusor.h"
#include "service/transfer/nccl/channel_host.h"

namespace chunkkv {

// What channels stand on where the host stands for the GPU: the library that stands in for NCCL (host_nccl.cc).
// Errors: as LoadNccl.
absl::StatusOr<ChannelGround> OpenHostChannels(const std::string& library_path);

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_HOST_CHANNELS_H_
