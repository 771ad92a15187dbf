#include "tests/support/host_channels.h"

#include <dlfcn.h>

#include <memory>

#include "service/base/check.h"
#include "service/base/status_macros.h"
#include "tests/support/host_device_memory.h"
#include "tests/support/host_nccl.h"

namespace chunkkv {
namespace {

struct HostStreamCalls {
  HostStreamMake make;
  HostStreamEnd end;
  HostStreamMark mark;
  HostStreamHasPassed has_passed;
};

class HostStream final : public DeviceStream {
 public:
  explicit HostStream(const HostStreamCalls& calls) : calls_(calls), stream_(calls.make()) {}
  ~HostStream() override { calls_.end(stream_); }

  absl::Status MakeCurrent() override { return absl::OkStatus(); }
  void* handle() const override { return stream_; }
  absl::StatusOr<Mark> SetMark() override { return calls_.mark(stream_); }
  absl::StatusOr<bool> HasPassed(Mark mark) override { return calls_.has_passed(stream_, mark) != 0; }

 private:
  const HostStreamCalls calls_;
  void* const stream_;
};

template <typename Function>
void Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  CHUNKKV_CHECK(function != nullptr);
}

}  // namespace

absl::StatusOr<ChannelGround> OpenHostChannels(const std::string& library_path) {
  ChannelGround ground;
  CHUNKKV_ASSIGN_OR_RETURN(ground.library, LoadNccl(library_path));
  void* const library = dlopen(library_path.c_str(), RTLD_NOW | RTLD_LOCAL);
  HostStreamCalls calls;
  Find(library, "HostStreamMake", calls.make);
  Find(library, "HostStreamEnd", calls.end);
  Find(library, "HostStreamMark", calls.mark);
  Find(library, "HostStreamHasPassed", calls.has_passed);
  ground.memory = std::make_unique<HostDeviceMemory>();
  ground.make_stream = [calls]() -> absl::StatusOr<std::unique_ptr<DeviceStream>> {
    return std::make_unique<HostStream>(calls);
  };
  return ground;
}

}  // namespace chunkkv
