// Where connections come in, and how many.
#ifndef CHUNKKV_SERVICE_RPC_CONNECTION_ACCEPTOR_H_
#define CHUNKKV_SERVICE_RPC_CONNECTION_ACCEPTOR_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "service/base/mutex.h"
#include "service/format/file_descriptor.h"
#include "service/operation/listen_address.h"

namespace chunkkv::rpc {

// Listens in gRPC's place, which takes whatever comes: a connection costs memory that no quota of gRPC's counts, most of
// all one that never ends its TLS handshake. Those above the limit are closed at once. Thread-safe.
class ConnectionAcceptor {
 public:
  enum class Reach : uint8_t { kThisHost, kAnyHost };

  // On all addresses that the host's name has, of those that this machine has. Errors: INVALID_ARGUMENT (INSECURE_LISTEN:
  // other hosts reach one of them, and `reach` does not allow it), UNAVAILABLE (CANNOT_LISTEN).
  static absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> Listen(const ListenAddress& address, Reach reach,
                                                                    int32_t max_connections);
  // As Stop.
  ~ConnectionAcceptor();

  int port() const { return port_; }
  // Hands each connection, which is then gRPC's, to `take`, from a thread of its own.
  void Start(std::function<void(int listener, int connection)> take);
  // Nothing is taken any more when it returns.
  void Stop();

  // Open ones.
  int64_t connections() const;
  // Closed because of the limit, since the beginning.
  int64_t refused() const;

 private:
  // A descriptor that gRPC closes tells nobody; another socket under its number has another inode.
  using Connection = std::pair<int, ino_t>;

  ConnectionAcceptor(std::vector<FileDescriptor> listeners, FileDescriptor wake, int32_t max_connections);
  void Run(const std::function<void(int, int)>& take);
  void Accept(int listener, const std::function<void(int, int)>& take);
  // Whether one more may come.
  bool Admit(int connection);
  void ForgetClosed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::vector<FileDescriptor> listeners_;
  const FileDescriptor wake_;
  const int port_;
  const size_t max_connections_;
  mutable Mutex mutex_;
  mutable std::vector<Connection> open_ ABSL_GUARDED_BY(mutex_);
  int64_t refused_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_CONNECTION_ACCEPTOR_H_
