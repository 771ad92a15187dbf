// Stands in for libnccl.so.2 where programs with channels are tested: two ranks, in processes of one host, on the host's
// memory. Bytes go over a unix socket, each message behind its size; the peer's end is ncclRemoteError, as it is with
// NCCL's own sockets. HOST_NCCL_VERSION is the version it says it is.
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace {

enum Result { kSuccess = 0, kSystemError = 2, kInvalidArgument = 4, kRemoteError = 6, kInProgress = 7 };

struct UniqueId {
  char bytes[128];
};

struct Stream {
  std::atomic<int64_t> started{0};
  std::atomic<int64_t> done{0};
};

struct Operation {
  bool is_send;
  char* memory;
  size_t size_bytes;
  Stream* stream;
};

// Of unique ids that were made here and have no rank 0 yet: the sockets that listen.
std::mutex listening_mutex;
std::map<std::string, int> listening;

sockaddr_un AddressOf(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());  // the first byte is 0: an abstract name
  return address;
}

bool MoveAll(int socket, bool is_send, char* at, size_t size_bytes) {
  while (size_bytes > 0) {
    const ssize_t moved =
        is_send ? send(socket, at, size_bytes, MSG_NOSIGNAL) : recv(socket, at, size_bytes, 0);
    if (moved <= 0) return false;
    at += moved;
    size_bytes -= static_cast<size_t>(moved);
  }
  return true;
}

class Comm {
 public:
  // Of rank 0 `socket` listens, of rank 1 it is to be connected to `name`.
  Comm(int rank, int socket, std::string name) : socket_(socket), name_(std::move(name)) {
    thread_ = std::thread([this, rank] { Run(rank); });
  }

  ~Comm() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_ending_ = true;
      shutdown(socket_, SHUT_RDWR);
    }
    changed_.notify_all();
    thread_.join();
    close(socket_);
    for (const Operation& operation : operations_) ++operation.stream->done;
  }

  Result state() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return state_;
  }

  Result Start(const Operation& operation) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (state_ != kSuccess) return state_ == kInProgress ? kInvalidArgument : state_;
    ++operation.stream->started;
    operations_.push_back(operation);
    changed_.notify_all();
    return kSuccess;
  }

 private:
  void Run(int rank) {
    const bool is_joined = rank == 0 ? Accept() : Connect();
    SetState(is_joined ? kSuccess : kSystemError);
    if (!is_joined) return;
    while (true) {
      Operation operation;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        while (!is_ending_ && operations_.empty()) {
          lock.unlock();
          const bool has_left = PeerHasLeft();
          lock.lock();
          if (has_left) {
            state_ = kRemoteError;
            return;
          }
          changed_.wait_for(lock, std::chrono::milliseconds(1));
        }
        if (is_ending_) return;
        operation = operations_.front();
      }
      if (!Move(operation)) return SetState(kRemoteError);
      const std::lock_guard<std::mutex> lock(mutex_);
      operations_.pop_front();
      ++operation.stream->done;
    }
  }

  bool Accept() {
    const int accepted = accept(socket_, nullptr, nullptr);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (accepted < 0) return false;
    close(std::exchange(socket_, accepted));
    return !is_ending_;
  }

  bool Connect() {
    const sockaddr_un address = AddressOf(name_);
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name_.size());
    return connect(socket_, reinterpret_cast<const sockaddr*>(&address), size) == 0;
  }

  bool PeerHasLeft() const {
    char byte;
    return recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
  }

  bool Move(const Operation& operation) const {
    uint64_t size = operation.size_bytes;
    if (!MoveAll(socket_, operation.is_send, reinterpret_cast<char*>(&size), sizeof size)) return false;
    return size == operation.size_bytes && MoveAll(socket_, operation.is_send, operation.memory, size);
  }

  void SetState(Result state) {
    const std::lock_guard<std::mutex> lock(mutex_);
    state_ = state;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int socket_;
  const std::string name_;
  Result state_ = kInProgress;
  bool is_ending_ = false;
  std::deque<Operation> operations_;
  std::thread thread_;
};

}  // namespace

extern "C" {

int ncclGetVersion(int* version) {
  const char* const said = std::getenv("HOST_NCCL_VERSION");
  *version = said == nullptr ? 23007 : std::atoi(said);
  return kSuccess;
}

const char* ncclGetErrorString(int result) {
  return result == kRemoteError ? "the peer has left" : result == kSystemError ? "a failed system call" : "an error";
}

const char* ncclGetLastError(void*) { return ""; }

int ncclGetUniqueId(UniqueId* id) {
  uint64_t number = 0;
  if (getrandom(&number, sizeof number, 0) != sizeof number) return kSystemError;
  const std::string name = "host_nccl_" + std::to_string(number);
  const sockaddr_un address = AddressOf(name);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (listener < 0 || bind(listener, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      listen(listener, 1) != 0) {
    return kSystemError;
  }
  std::memset(id, 0, sizeof *id);
  std::memcpy(id->bytes, name.data(), name.size());
  const std::lock_guard<std::mutex> lock(listening_mutex);
  listening[name] = listener;
  return kSuccess;
}

int ncclCommInitRankConfig(void** comm, int rank_count, UniqueId id, int rank, void*) {
  const std::string name = id.bytes;
  if (rank_count != 2 || rank < 0 || rank > 1) return kInvalidArgument;
  if (rank == 1) {
    *comm = new Comm(rank, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), name);
    return kInProgress;
  }
  const std::lock_guard<std::mutex> lock(listening_mutex);
  const auto found = listening.find(name);
  if (found == listening.end()) return kInvalidArgument;
  *comm = new Comm(rank, found->second, name);
  listening.erase(found);
  return kInProgress;
}

int ncclCommGetAsyncError(void* comm, int* state) {
  *state = static_cast<Comm*>(comm)->state();
  return kSuccess;
}

int ncclSend(const void* memory, size_t count, int, int, void* comm, void* stream) {
  return static_cast<Comm*>(comm)->Start(
      {true, const_cast<char*>(static_cast<const char*>(memory)), count, static_cast<Stream*>(stream)});
}

int ncclRecv(void* memory, size_t count, int, int, void* comm, void* stream) {
  return static_cast<Comm*>(comm)->Start({false, static_cast<char*>(memory), count, static_cast<Stream*>(stream)});
}

int ncclCommFinalize(void*) { return kSuccess; }

int ncclCommDestroy(void* comm) {
  delete static_cast<Comm*>(comm);
  return kSuccess;
}

int ncclCommAbort(void* comm) { return ncclCommDestroy(comm); }

void* HostStreamMake() { return new Stream; }
void HostStreamEnd(void* stream) { delete static_cast<Stream*>(stream); }
int64_t HostStreamMark(void* stream) { return static_cast<Stream*>(stream)->started; }
int HostStreamHasPassed(void* stream, int64_t mark) { return static_cast<Stream*>(stream)->done >= mark ? 1 : 0; }

}  // extern "C"
