// The admin port: plain HTTP, for probes, Prometheus and people. It changes nothing.
//   /metrics   Prometheus's text format
//   /healthz   200 while the process works
//   /readyz    200 while the server takes puts and gets, else 503
//   /statusz   a page to look at
#ifndef CHUNKKV_SERVICE_OPERATION_ADMIN_SERVER_H_
#define CHUNKKV_SERVICE_OPERATION_ADMIN_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace chunkkv {

// Called from the admin port's threads.
struct AdminPages {
  std::function<std::string()> metrics;
  std::function<bool()> is_ready;
  std::function<std::string()> status;  // HTML
};

class AdminServer {
 public:
  // `listen`: host:port; port 0: any free one. Serves when it returns.
  // Errors: INVALID_ARGUMENT (BAD_LISTEN_ADDRESS), UNAVAILABLE (CANNOT_LISTEN).
  static absl::StatusOr<std::unique_ptr<AdminServer>> Listen(const std::string& listen, AdminPages pages);
  // Ends what is being served.
  ~AdminServer();

  int port() const;

 private:
  class Impl;
  explicit AdminServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_OPERATION_ADMIN_SERVER_H_
