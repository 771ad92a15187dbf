#include "service/operation/admin_server.h"

#include <httplib.h>
#include <sys/socket.h>

#include <thread>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/operation/listen_address.h"

namespace chunkkv {
namespace {

constexpr size_t kThreads = 4;
constexpr time_t kPatienceSeconds = 2;  // with peers that are slow to ask, or to listen
constexpr size_t kMaxRequestBytes = 4096;

}  // namespace

class AdminServer::Impl {
 public:
  explicit Impl(AdminPages pages) : pages_(std::move(pages)) {
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    // The library's own would let two servers share a port.
    server_.set_socket_options([](int listener) {
      const int on = 1;
      setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    });
    server_.set_read_timeout(kPatienceSeconds);
    server_.set_write_timeout(kPatienceSeconds);
    server_.set_keep_alive_timeout(kPatienceSeconds);
    server_.set_payload_max_length(kMaxRequestBytes);
    server_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(pages_.metrics(), "text/plain; version=0.0.4; charset=utf-8");
    });
    server_.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("ok\n", "text/plain");
    });
    server_.Get("/readyz", [this](const httplib::Request&, httplib::Response& response) {
      const bool is_ready = pages_.is_ready();
      response.status = is_ready ? 200 : 503;
      response.set_content(is_ready ? "ready\n" : "not ready\n", "text/plain");
    });
    server_.Get("/statusz", [this](const httplib::Request&, httplib::Response& response) {
      response.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
      response.set_content(pages_.status(), "text/html; charset=utf-8");
    });
  }
  ~Impl() {
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen(const ListenAddress& address) {
    const std::string host = address.SystemHost();
    port_ = address.port;
    const bool is_bound = port_ == 0 ? (port_ = server_.bind_to_any_port(host.c_str())) > 0
                                     : server_.bind_to_port(host.c_str(), port_);
    if (!is_bound) {
      return ErrorStatus(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
                         "cannot listen on " + address.host + ":" + std::to_string(address.port));
    }
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    // Before it runs, a stop would be lost.
    while (!server_.is_running()) std::this_thread::yield();
    return absl::OkStatus();
  }

  int port() const { return port_; }

 private:
  const AdminPages pages_;
  httplib::Server server_;
  std::thread thread_;
  int port_ = 0;
};

AdminServer::AdminServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AdminServer::~AdminServer() = default;

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Listen(const std::string& listen, AdminPages pages) {
  CHUNKKV_ASSIGN_OR_RETURN(const ListenAddress address, ParseListenAddress(listen));
  auto impl = std::make_unique<Impl>(std::move(pages));
  CHUNKKV_RETURN_IF_ERROR(impl->Listen(address));
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

int AdminServer::port() const { return impl_->port(); }

}  // namespace chunkkv
