// Domain values to and from the messages of the wire. What a server sent is checked like any other input.
#ifndef CHUNKKV_CLIENT_CPP_CONVERT_H_
#define CHUNKKV_CLIENT_CPP_CONVERT_H_

#include <string>

#include "absl/status/statusor.h"
#include "chunkkv/client/types.h"
#include "chunkkv/v1/catalog.pb.h"
#include "chunkkv/v1/compaction.pb.h"
#include "chunkkv/v1/get.pb.h"
#include "chunkkv/v1/identity.pb.h"
#include "chunkkv/v1/layout.pb.h"
#include "chunkkv/v1/put.pb.h"

namespace chunkkv::client {

void ToProto(const ModelIdentity& model, v1::ModelIdentity* proto);
void ToProto(const Shard& shard, v1::Shard* proto);
void ToProto(const Prompt& prompt, v1::PromptKey* proto);
void ToProto(const CompactionSpec& spec, v1::CompactionSpec* proto);
void ToProto(const Accept& accept, v1::Accept* proto);
void ToProto(const EntryName& name, v1::EntryName* proto);
void ToProto(const EntrySelector& selector, v1::EntrySelector* proto);
void ToProto(const PutRequest& request, v1::Begin* proto);
v1::DType ToProto(DType dtype);

template <size_t N>
std::string ToString(const FixedBytes<N>& bytes) {
  return std::string(AsView(bytes));
}
// Zeros where the string has another length.
template <size_t N>
FixedBytes<N> ToFixed(const std::string& bytes) {
  return FixedFromView<N>(bytes).value_or(FixedBytes<N>{});
}

template <typename Message>
void SetModelRef(const ModelRef& ref, Message* proto) {
  if (ref.model) ToProto(*ref.model, proto->mutable_model());
  if (ref.fingerprint) proto->set_fingerprint(ToString(*ref.fingerprint));
}

ModelIdentity FromProto(const v1::ModelIdentity& proto);
Shard FromProto(const v1::Shard& proto);
CompactionSpec FromProto(const v1::CompactionSpec& proto);
CompactionOutcome FromProto(const v1::CompactionResult& proto);
ReuseGroup FromProto(const v1::ReuseGroup& proto);
// Errors: DATA_LOSS (BAD_REPLY) for a layout that is none.
absl::StatusOr<Layout> FromProto(const google::protobuf::RepeatedPtrField<v1::LayerRun>& proto);
absl::StatusOr<EntryInfo> FromProto(const v1::EntryInfo& proto);
absl::Status FromProto(const v1::ItemStatus& proto);
// A get's header: layout, groups with positions, and every tensor's place and digest, all checked against each other
// and against the entry's digest. Errors: DATA_LOSS (BAD_REPLY).
absl::StatusOr<EntryHeader> FromProto(const v1::GetHeader& proto);

absl::Status BadReply(const std::string& text);

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_CONVERT_H_
