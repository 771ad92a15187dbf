// The unix socket over which clients on this host hand over descriptors of their memory, and fetch those of entries to
// map. What is said on it is in proto/chunkkv/v1/README.md, "Local socket".
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_LOCAL_SOCKET_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_LOCAL_SOCKET_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "service/base/caller.h"
#include "service/format/file_descriptor.h"
#include "service/format/local_message.h"
#include "service/transfer/region/mapping_table.h"
#include "service/transfer/region/region_table.h"

namespace chunkkv {

struct LocalSocketOptions {
  std::string path;
  // Whose processes may connect, beside root's and those of the server's own user.
  std::vector<uid_t> users;
  int32_t max_connections = 1024;
};

// A get on the socket itself, in less time than a call over gRPC takes: `caller` is whose get made the mapping that the
// connection has fetched last. What it returns is short, and `lease` has been given to the peer.
struct LocalGetReply {
  Bytes32 lease{};
  std::string header;
  std::shared_ptr<const void> entry;
  int descriptor = -1;
};
using LocalGetHandler =
    std::function<absl::StatusOr<LocalGetReply>(const Caller& caller, PeerId peer, const std::string& request)>;

// Serves in one thread of its own, which never waits for a client. A connection that ends takes with it what its client
// had lent and mapped.
class LocalSocket {
 public:
  // Makes the socket, readable by those who may connect, and serves. A socket that nobody listens on any more is
  // replaced. The tables must outlive this. Errors: INVALID_ARGUMENT BAD_LOCAL_SOCKET (too long a path), UNAVAILABLE
  // CANNOT_LISTEN.
  static absl::StatusOr<std::unique_ptr<LocalSocket>> Listen(const LocalSocketOptions& options, RegionTable& regions,
                                                             MappingTable& mappings, LocalGetHandler get);
  // Ends all connections and removes the socket.
  ~LocalSocket();

 private:
  LocalSocket(const LocalSocketOptions& options, FileDescriptor listener, FileDescriptor wake, RegionTable& regions,
              MappingTable& mappings, LocalGetHandler get);
  void Serve();
  void Accept();
  bool IsAllowed(int connection) const;
  struct Connection {
    FileDescriptor descriptor;
    std::optional<Caller> caller;  // of the mapping fetched last
  };
  // False where the connection is to be closed.
  bool Answer(PeerId peer, Connection& connection);
  bool AnswerTo(PeerId peer, Connection& connection, LocalMessage message, ReceivedLocalMessage received);
  void Close(PeerId peer);

  const LocalSocketOptions options_;
  const FileDescriptor listener_;
  const FileDescriptor wake_;
  RegionTable& regions_;
  MappingTable& mappings_;
  PeerId last_peer_ = 0;
  const LocalGetHandler get_;
  std::map<PeerId, Connection> connections_;  // the thread's own
  std::thread thread_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_LOCAL_SOCKET_H_
