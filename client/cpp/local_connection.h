// A client's connection to the local socket of a server on its host (proto/chunkkv/v1/README.md, "Local socket").
#ifndef CHUNKKV_CLIENT_CPP_LOCAL_CONNECTION_H_
#define CHUNKKV_CLIENT_CPP_LOCAL_CONNECTION_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "service/base/mutex.h"
#include "service/format/bytes.h"
#include "service/format/file_descriptor.h"
#include "service/format/local_message.h"

namespace chunkkv::client {

// Thread-safe; one question at a time. What was lent or mapped over it ends with it. Errors of all: UNAVAILABLE
// LOCAL_SOCKET where the connection is broken, or breaks because no answer comes within the timeout (0: half a minute),
// FAILED_PRECONDITION with the server's reason where it refuses.
class LocalConnection {
 public:
  static absl::StatusOr<std::shared_ptr<LocalConnection>> Connect(const std::string& path);
  // Whether the server is there still.
  bool is_open() const;

  // The token to register the memory by.
  absl::StatusOr<Bytes32> Offer(int descriptor);
  // Of the mapping that a get over gRPC has given.
  absl::StatusOr<FileDescriptor> Map(const Bytes32& token, std::chrono::milliseconds timeout);
  // A serialised GetCacheRequest; `body` of the answer is the GetHeader.
  absl::StatusOr<ReceivedLocalMessage> Get(const std::string& request, std::chrono::milliseconds timeout);
  // Nothing of the mapping is touched any more.
  void Release(const Bytes32& token);

 private:
  explicit LocalConnection(FileDescriptor connection) : connection_(std::move(connection)) {}
  absl::StatusOr<ReceivedLocalMessage> Ask(LocalMessage::Kind kind, const Bytes32& token, int descriptor,
                                           const std::string& body, std::chrono::milliseconds timeout);
  ReceivedLocalMessage Exchange(const LocalMessage& message, int descriptor, const std::string& body,
                                std::chrono::nanoseconds timeout) const;

  Mutex mutex_;
  CondVar answered_;
  bool is_asking_ ABSL_GUARDED_BY(mutex_) = false;
  const FileDescriptor connection_;
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_LOCAL_CONNECTION_H_
