#include "chunkkv/client/client.h"

#include <grpcpp/create_channel.h>

#include <algorithm>

#include "chunkkv/kernels/status.h"
#include "client/cpp/call.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/convert.h"
#include "client/cpp/local_connection.h"
#include "client/cpp/region_impl.h"
#include "service/base/random.h"
#include "service/base/status_macros.h"

namespace chunkkv::client {
namespace {

constexpr int kKeepaliveMs = 30'000;
constexpr int kLeastPingMs = 11'000;  // servers refuse more than one in 10 s
constexpr int kFirstReconnectMs = 1'000;
constexpr int64_t kMaxLostAfterMs = 3'600'000;
constexpr int kMaxMessageBytes = 8 << 20;
constexpr int kMaxReplyBytes = 64 << 20;  // pages of descriptions with positions

// One unary call of `method` of the stub.
template <typename Request, typename Reply, typename Method>
absl::StatusOr<Reply> Call(Client::Impl& client, Method method, const Request& request, const CallOptions& options) {
  CallContext context(client.metadata(), options);
  Reply reply;
  const grpc::Status status = (client.stub().*method)(context.get(), request, &reply);
  if (!status.ok()) return context.Convert(status);
  return reply;
}

std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const ConnectOptions& options) {
  if (!options.tls) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials({.pem_root_certs = options.tls->root_certificates,
                               .pem_private_key = options.tls->private_key,
                               .pem_cert_chain = options.tls->certificate_chain});
}

CallMetadata MetadataOf(const ConnectOptions& options) {
  CallMetadata metadata;
  if (!options.token.empty()) metadata.emplace_back("authorization", "Bearer " + options.token);
  if (!options.share_group.empty()) metadata.emplace_back("chunkkv-share-group", options.share_group);
  return metadata;
}

absl::Status CheckCount(int items, size_t asked) {
  return static_cast<size_t>(items) == asked ? absl::OkStatus() : BadReply("another number of items than was asked");
}

}  // namespace

Client::Impl::Impl(std::string address, const ConnectOptions& options)
    : address_(std::move(address)),
      lost_after_ms_(static_cast<int>(std::clamp<int64_t>(options.lost_after.count(), 1, kMaxLostAfterMs))),
      credentials_(CredentialsOf(options)),
      metadata_(MetadataOf(options)) {
  stub_ = v1::KvCacheService::NewStub(Channel(0));
}

std::shared_ptr<grpc::Channel> Client::Impl::Channel(int32_t index) {
  MutexLock lock(mutex_);
  while (static_cast<int32_t>(channels_.size()) <= index) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxReplyBytes);
    arguments.SetMaxSendMessageSize(kMaxMessageBytes);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    // A call whose server has vanished ends UNAVAILABLE.
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, std::clamp(lost_after_ms_, kLeastPingMs, kKeepaliveMs));
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, lost_after_ms_);
    // One that comes back is found as soon as one is lost.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, std::min(kFirstReconnectMs, lost_after_ms_));
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, lost_after_ms_);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, lost_after_ms_);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    channels_.push_back(grpc::CreateCustomChannel(address_, credentials_, arguments));
  }
  return channels_[index];
}

absl::StatusOr<std::shared_ptr<LocalConnection>> Client::Impl::Local(const CallOptions& options) {
  {
    MutexLock lock(mutex_);
    if (local_ != nullptr && !local_->is_open()) local_ = nullptr;
    if (local_ != nullptr) return local_;
  }
  CHUNKKV_ASSIGN_OR_RETURN(const v1::GetCapabilitiesResponse capabilities,
                           (Call<v1::GetCapabilitiesRequest, v1::GetCapabilitiesResponse>(
                               *this, &v1::KvCacheService::Stub::GetCapabilities, {}, options)));
  if (capabilities.local_socket().empty()) {
    return FailedPrecondition("REGIONS_DISABLED", "the server has no local socket: see its option --local-socket");
  }
  CHUNKKV_ASSIGN_OR_RETURN(std::shared_ptr<LocalConnection> local,
                           LocalConnection::Connect(capabilities.local_socket()));
  MutexLock lock(mutex_);
  if (local_ == nullptr) local_ = std::move(local);
  return local_;
}

void Client::Impl::AddRegion(const Region::Impl* region) {
  MutexLock lock(mutex_);
  regions_.push_back(region);
}

void Client::Impl::RemoveRegion(const Region::Impl* region) {
  MutexLock lock(mutex_);
  std::erase(regions_, region);
}

bool Client::Impl::HasRegions() const {
  MutexLock lock(mutex_);
  return !regions_.empty();
}

const Region::Impl* Client::Impl::FindRegion(absl::Span<const std::byte> bytes) const {
  MutexLock lock(mutex_);
  for (const Region::Impl* region : regions_) {
    const absl::Span<const std::byte> all = region->bytes();
    if (bytes.data() >= all.data() && bytes.data() + bytes.size() <= all.data() + all.size()) return region;
  }
  return nullptr;
}

void Client::Impl::Quiesce(const std::string& transfer_id) {
  v1::QuiesceTransferRequest request;
  request.set_transfer_id(transfer_id);
  v1::QuiesceTransferResponse response;
  CallContext context(metadata_, CallOptions{});
  stub_->QuiesceTransfer(context.get(), request, &response);
}

std::string NewTransferId() {
  Bytes16 id;
  FillRandom(id.data(), id.size());
  return ToString(id);
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const std::string& address, const ConnectOptions& options) {
  if (address.empty()) return InvalidArgument("BAD_ADDRESS", "address is empty");
  auto impl = std::make_unique<Impl>(address, options);
  if (options.connect_timeout.count() > 0) {
    const auto deadline = std::chrono::system_clock::now() + options.connect_timeout;
    if (!impl->Channel(0)->WaitForConnected(deadline)) {
      return ErrorStatus(absl::StatusCode::kUnavailable, "NOT_CONNECTED", "no server answers at " + address);
    }
  }
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

absl::StatusOr<std::unique_ptr<PutSession>> Client::BeginPut(const PutRequest& request, const CallOptions& options) {
  return OpenPut(*impl_, request, options);
}

absl::StatusOr<CachedEntry> Client::Get(const GetRequest& request, const CallOptions& options) {
  return RunGet(*impl_, request, options);
}

absl::StatusOr<std::vector<PrefixFound>> Client::FindLongestPrefix(absl::Span<const PrefixQuery> queries,
                                                                   const CallOptions& options) {
  v1::FindLongestPrefixRequest request;
  for (const PrefixQuery& query : queries) {
    v1::FindLongestPrefixRequest::Query* added = request.add_queries();
    SetModelRef(query.model, added);
    for (const Shard& shard : query.shards) ToProto(shard, added->add_shards());
    ToProto(query.prompt, added->mutable_prompt());
    if (query.accept) ToProto(*query.accept, added->mutable_accept());
    added->set_hold_ms(query.hold.count());
  }
  CHUNKKV_ASSIGN_OR_RETURN(const v1::FindLongestPrefixResponse reply,
                           (Call<v1::FindLongestPrefixRequest, v1::FindLongestPrefixResponse>(
                               *impl_, &v1::KvCacheService::Stub::FindLongestPrefix, request, options)));
  CHUNKKV_RETURN_IF_ERROR(CheckCount(reply.results_size(), queries.size()));
  std::vector<PrefixFound> results;
  for (const v1::FindLongestPrefixResponse::Result& result : reply.results()) {
    PrefixFound found;
    found.status = FromProto(result.status());
    found.covered_tokens = result.covered_tokens();
    for (const v1::FindLongestPrefixResponse::Found& entry : result.entries()) {
      found.entries.push_back({ToFixed<16>(entry.entry_id()), ToFixed<32>(entry.key()), ToFixed<32>(entry.variant()),
                               static_cast<Policy>(entry.policy()), entry.token_count(), entry.row_count(),
                               entry.size_bytes(), static_cast<Tier>(entry.tier())});
    }
    found.expected_load_ms = result.expected_load_ms();
    found.lease_id = FixedFromView<16>(result.lease_id());
    found.lease_expires_unix_ms = result.lease_expires_unix_ms();
    results.push_back(std::move(found));
  }
  return results;
}

absl::StatusOr<std::vector<absl::StatusOr<EntryInfo>>> Client::Describe(absl::Span<const EntrySelector> entries,
                                                                        bool with_positions,
                                                                        const CallOptions& options) {
  v1::DescribeCachesRequest request;
  for (const EntrySelector& entry : entries) ToProto(entry, request.add_entries());
  request.set_with_positions(with_positions);
  CHUNKKV_ASSIGN_OR_RETURN(const v1::DescribeCachesResponse reply,
                           (Call<v1::DescribeCachesRequest, v1::DescribeCachesResponse>(
                               *impl_, &v1::KvCacheService::Stub::DescribeCaches, request, options)));
  CHUNKKV_RETURN_IF_ERROR(CheckCount(reply.items_size(), entries.size()));
  std::vector<absl::StatusOr<EntryInfo>> items;
  for (const v1::DescribeCachesResponse::Item& item : reply.items()) {
    if (const absl::Status status = FromProto(item.status()); !status.ok()) {
      items.push_back(status);
    } else {
      items.push_back(FromProto(item.info()));
    }
  }
  return items;
}

absl::StatusOr<ListPage> Client::List(int32_t page_size, const std::string& page_token,
                                      const std::optional<Bytes32>& fingerprint, const CallOptions& options) {
  v1::ListCachesRequest request;
  request.set_page_size(page_size);
  request.set_page_token(page_token);
  if (fingerprint) request.set_fingerprint(ToString(*fingerprint));
  CHUNKKV_ASSIGN_OR_RETURN(const v1::ListCachesResponse reply,
                           (Call<v1::ListCachesRequest, v1::ListCachesResponse>(
                               *impl_, &v1::KvCacheService::Stub::ListCaches, request, options)));
  ListPage page;
  page.next_page_token = reply.next_page_token();
  for (const v1::EntryInfo& entry : reply.entries()) {
    CHUNKKV_ASSIGN_OR_RETURN(EntryInfo info, FromProto(entry));
    page.entries.push_back(std::move(info));
  }
  return page;
}

absl::StatusOr<std::vector<absl::StatusOr<Pin>>> Client::PinEntries(absl::Span<const EntrySelector> entries,
                                                                    std::chrono::milliseconds duration,
                                                                    const CallOptions& options) {
  v1::PinCachesRequest request;
  for (const EntrySelector& entry : entries) ToProto(entry, request.add_entries());
  request.set_duration_ms(duration.count());
  CHUNKKV_ASSIGN_OR_RETURN(const v1::PinCachesResponse reply,
                           (Call<v1::PinCachesRequest, v1::PinCachesResponse>(
                               *impl_, &v1::KvCacheService::Stub::PinCaches, request, options)));
  CHUNKKV_RETURN_IF_ERROR(CheckCount(reply.items_size(), entries.size()));
  std::vector<absl::StatusOr<Pin>> pins;
  for (const v1::PinCachesResponse::Item& item : reply.items()) {
    if (const absl::Status status = FromProto(item.status()); !status.ok()) {
      pins.push_back(status);
    } else {
      pins.push_back(Pin{ToFixed<16>(item.pin_id()), item.expires_unix_ms()});
    }
  }
  return pins;
}

absl::StatusOr<std::vector<absl::Status>> Client::Unpin(absl::Span<const Bytes16> pin_ids, const CallOptions& options) {
  v1::UnpinCachesRequest request;
  for (const Bytes16& id : pin_ids) request.add_pin_ids(ToString(id));
  CHUNKKV_ASSIGN_OR_RETURN(const v1::UnpinCachesResponse reply,
                           (Call<v1::UnpinCachesRequest, v1::UnpinCachesResponse>(
                               *impl_, &v1::KvCacheService::Stub::UnpinCaches, request, options)));
  CHUNKKV_RETURN_IF_ERROR(CheckCount(reply.items_size(), pin_ids.size()));
  std::vector<absl::Status> statuses;
  for (const v1::ItemStatus& item : reply.items()) statuses.push_back(FromProto(item));
  return statuses;
}

absl::StatusOr<std::vector<absl::Status>> Client::Delete(absl::Span<const EntrySelector> entries,
                                                         const CallOptions& options) {
  v1::DeleteCachesRequest request;
  for (const EntrySelector& entry : entries) ToProto(entry, request.add_entries());
  CHUNKKV_ASSIGN_OR_RETURN(const v1::DeleteCachesResponse reply,
                           (Call<v1::DeleteCachesRequest, v1::DeleteCachesResponse>(
                               *impl_, &v1::KvCacheService::Stub::DeleteCaches, request, options)));
  CHUNKKV_RETURN_IF_ERROR(CheckCount(reply.items_size(), entries.size()));
  std::vector<absl::Status> statuses;
  for (const v1::ItemStatus& item : reply.items()) statuses.push_back(FromProto(item));
  return statuses;
}

absl::StatusOr<TrimResult> Client::Trim(const TrimRequest& trim, const CallOptions& options) {
  v1::TrimCachesRequest request;
  request.set_older_than_ms(trim.older_than.count());
  if (trim.fingerprint) request.set_fingerprint(ToString(*trim.fingerprint));
  if (trim.prefix) ToProto(*trim.prefix, request.mutable_prefix());
  request.set_dry_run(trim.dry_run);
  CHUNKKV_ASSIGN_OR_RETURN(const v1::TrimCachesResponse reply,
                           (Call<v1::TrimCachesRequest, v1::TrimCachesResponse>(
                               *impl_, &v1::KvCacheService::Stub::TrimCaches, request, options)));
  return TrimResult{reply.removed_entries(), reply.removed_bytes(), reply.pinned_entries()};
}

absl::Status Client::Watch(int64_t after_sequence, const std::function<bool(const WatchEvent&)>& on_event,
                           const CallOptions& options) {
  CallContext context(impl_->metadata(), options);
  v1::WatchCachesRequest request;
  request.set_after_sequence(after_sequence);
  const auto reader = impl_->stub().WatchCaches(context.get(), request);
  v1::WatchCachesResponse reply;
  while (reader->Read(&reply)) {
    WatchEvent event;
    event.sequence = reply.sequence();
    event.kind = static_cast<WatchEvent::Kind>(reply.event());
    event.removal = static_cast<WatchEvent::Removal>(reply.removal_reason());
    absl::Status status = absl::OkStatus();
    if (reply.has_entry()) {
      auto info = FromProto(reply.entry());
      status = info.status();
      if (info.ok()) event.entry = *std::move(info);
    }
    const bool go_on = status.ok() && on_event(event);
    if (go_on) continue;
    context.get()->TryCancel();
    while (reader->Read(&reply)) {
    }
    reader->Finish().ok();
    return status;
  }
  return context.Convert(reader->Finish());
}

absl::StatusOr<Capabilities> Client::GetCapabilities(const CallOptions& options) {
  CHUNKKV_ASSIGN_OR_RETURN(const v1::GetCapabilitiesResponse reply,
                           (Call<v1::GetCapabilitiesRequest, v1::GetCapabilitiesResponse>(
                               *impl_, &v1::KvCacheService::Stub::GetCapabilities, {}, options)));
  Capabilities capabilities;
  capabilities.server_version = reply.server_version();
  capabilities.protocol_version = reply.protocol_version();
  capabilities.features.assign(reply.features().begin(), reply.features().end());
  for (const int policy : reply.policies()) capabilities.policies.push_back(static_cast<Policy>(policy));
  capabilities.transports.assign(reply.transports().begin(), reply.transports().end());
  for (const auto& device : reply.devices()) capabilities.devices.push_back(device.kind() + " " + device.name());
  capabilities.max_part_bytes = reply.limits().max_part_bytes();
  capabilities.max_entry_bytes = reply.limits().max_entry_bytes();
  capabilities.max_token_count = reply.limits().max_token_count();
  capabilities.max_layer_count = reply.limits().max_layer_count();
  capabilities.max_batch_items = reply.limits().max_batch_items();
  capabilities.record_format_version = reply.record_format_version();
  for (const auto& profile : reply.profiles()) {
    LoadedProfile& loaded = capabilities.profiles.emplace_back();
    loaded.name = profile.name();
    loaded.fingerprint = FixedFromView<32>(profile.fingerprint()).value_or(Bytes32());
    for (const v1::ReuseGroup& group : profile.groups()) loaded.groups.push_back(FromProto(group));
    loaded.spec = FromProto(profile.spec());
    loaded.given_chunks = profile.given_chunks();
    loaded.max_loss = profile.max_loss();
  }
  return capabilities;
}

absl::StatusOr<ServerStats> Client::GetStats(const CallOptions& options) {
  CHUNKKV_ASSIGN_OR_RETURN(const v1::GetStatsResponse reply,
                           (Call<v1::GetStatsRequest, v1::GetStatsResponse>(
                               *impl_, &v1::KvCacheService::Stub::GetStats, {}, options)));
  ServerStats stats;
  for (const v1::GetStatsResponse::TierStats& tier : reply.tiers()) {
    stats.tiers.push_back({static_cast<Tier>(tier.tier()), tier.budget_bytes(), tier.entry_bytes(),
                           tier.staging_bytes(), tier.entries(), tier.evictions(), tier.used_bytes(), tier.promotions(),
                           tier.demotions(), tier.failure()});
  }
  const v1::GetStatsResponse::TenantStats& tenant = reply.tenant();
  stats.entries = tenant.entries();
  stats.entry_bytes = tenant.entry_bytes();
  stats.hit_tokens = tenant.hit_tokens();
  stats.miss_tokens = tenant.miss_tokens();
  stats.puts = tenant.puts();
  stats.received_bytes = tenant.received_bytes();
  stats.stored_bytes = tenant.stored_bytes();
  stats.active_sessions = reply.active_sessions();
  stats.active_gets = reply.active_gets();
  stats.pins = reply.pins();
  stats.uptime_ms = reply.uptime_ms();
  stats.scrubbed_bytes = reply.scrubbed_bytes();
  stats.damaged_entries = reply.damaged_entries();
  return stats;
}

}  // namespace chunkkv::client
