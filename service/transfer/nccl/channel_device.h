// All channels of one device, and the order in which NCCL is called for them: by one thread, which ChannelThread has,
// or which a test is.
#ifndef CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_DEVICE_H_
#define CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_DEVICE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "service/base/clock.h"
#include "service/base/mutex.h"
#include "service/transfer/nccl/channel_machine.h"
#include "service/transfer/nccl/channel_timeouts.h"
#include "service/transfer/nccl/nccl_library.h"

namespace chunkkv {

class ChannelDevice {
 public:
  using MachineId = uint64_t;
  // How it stands with a channel: told whenever it changes.
  struct News {
    absl::Status status;      // not OK: no more transfers
    bool has_opened = false;  // the peer came once
    bool has_ended = false;   // nothing is left of it
  };
  using Listener = std::function<void(const News& news)>;
  // nullptr where the channel is no more.
  using Task = std::function<void(ChannelMachine* machine)>;

  // `library` and `clock` must outlive the device.
  ChannelDevice(NcclLibrary& library, const Clock& clock, const ChannelTimeouts& timeouts, StreamMaker make_stream)
      : library_(library), clock_(clock), timeouts_(timeouts), make_stream_(std::move(make_stream)) {}
  // As Finish.
  ~ChannelDevice();

  // --- Any thread ---
  // Tasks, listeners and what transfers call run on the issuing thread, in order; once it has finished, in the
  // caller's.
  MachineId Open(const NcclUniqueId& id, Listener listener);
  void Post(MachineId machine, Task task);
  // Every channel is aborted, and no other opened.
  void Shutdown();

  // --- The issuing thread ---
  using Pace = ChannelMachine::Pace;
  // Does what was posted, and steps every channel once. The pace of the fastest; none where there is no channel.
  std::optional<Pace> RunOnce();
  // Returns once something is posted, at the latest when it is time to step the channels again.
  void Wait(std::optional<Pace> pace);
  // After Shutdown, or instead: everything ends here and now.
  void Finish();

 private:
  struct Row {
    std::unique_ptr<ChannelMachine> machine;
    Listener listener;
    News told;
  };
  struct Posted {
    MachineId machine = 0;
    Task task;
  };

  void Begin(MachineId id, const NcclUniqueId& unique_id, Listener listener);
  void RunTasks();
  // What the machine has to say; the row goes where it has ended.
  void Tell(std::map<MachineId, Row>::iterator at);

  NcclLibrary& library_;
  const Clock& clock_;
  const ChannelTimeouts timeouts_;
  const StreamMaker make_stream_;

  Mutex mutex_;
  CondVar posted_;
  std::vector<Posted> tasks_ ABSL_GUARDED_BY(mutex_);
  MachineId last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;

  // Of the issuing thread.
  std::map<MachineId, Row> rows_;
  bool is_shutting_down_ = false;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_NCCL_CHANNEL_DEVICE_H_
