#include "client/tune/recorded_prompt_file.h"

#include <sys/types.h>

#include <charconv>
#include <cstring>
#include <limits>
#include <map>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/check.h"
#include "service/base/status_macros.h"
#include "service/format/atomic_file.h"

namespace chunkkv::tune {
namespace {

constexpr const char* kFormat = "chunkkv.recorded_prompt";
constexpr int64_t kVersion = 1;
constexpr int32_t kMaxLayers = 1024;
constexpr mode_t kOwnerOnly = 0600;  // scores tell of the prompt

absl::Status Bad(const std::string& what) { return InvalidArgument("BAD_RECORDED_PROMPT", what); }

// The whole of `text` as a number in [least, most].
std::optional<int64_t> Number(std::string_view text, int64_t least, int64_t most) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least || number > most) return std::nullopt;
  return number;
}

std::string_view FindMetadata(const SafetensorsHeader& header, const std::string& name) {
  const auto found = header.metadata.find(name);
  return found == header.metadata.end() ? std::string_view() : found->second;
}

// Layer of a tensor "layers.<l>.scores".
std::optional<int32_t> LayerOf(std::string_view name) {
  constexpr std::string_view kBefore = "layers.", kAfter = ".scores";
  if (name.size() <= kBefore.size() + kAfter.size() || name.substr(0, kBefore.size()) != kBefore ||
      name.substr(name.size() - kAfter.size()) != kAfter) {
    return std::nullopt;
  }
  const std::string_view digits = name.substr(kBefore.size(), name.size() - kBefore.size() - kAfter.size());
  const std::optional<int64_t> layer = Number(digits, 0, kMaxLayers - 1);
  if (!layer || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
  return static_cast<int32_t>(*layer);
}

template <typename Element>
absl::StatusOr<std::vector<Element>> ReadList(const SafetensorsFile& file, const SafetensorsTensor& tensor,
                                              std::string_view dtype) {
  if (tensor.dtype != dtype || tensor.shape.size() != 1) {
    return Bad(absl::StrCat("tensor ", tensor.name, " must be a list of ", std::string(dtype)));
  }
  std::vector<Element> list(tensor.size_bytes / sizeof(Element));
  if (!list.empty()) std::memcpy(list.data(), file.Bytes(tensor).data(), tensor.size_bytes);
  return list;
}

}  // namespace

bool IsRecordedPrompt(const SafetensorsHeader& header) { return FindMetadata(header, "format") == kFormat; }

absl::StatusOr<RecordedPromptFile> ReadRecordedPrompt(const std::string& path) {
  CHUNKKV_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  const SafetensorsHeader& header = file.header();
  if (!IsRecordedPrompt(header)) return Bad(absl::StrCat("metadata format must be ", kFormat));
  const auto version = Number(FindMetadata(header, "format_version"), 1, std::numeric_limits<int64_t>::max());
  if (!version) return Bad("metadata format_version must be a number");
  if (*version > kVersion) {
    return Unimplemented("RECORDED_PROMPT_NEWER", absl::StrCat("recorded prompt: format_version ", *version));
  }
  RecordedPromptFile recorded;
  const auto token_count = Number(FindMetadata(header, "token_count"), 1, std::numeric_limits<int32_t>::max());
  if (!token_count) return Bad("metadata token_count must be a number of tokens");
  recorded.prompt.token_count = *token_count;
  if (header.metadata.count("model") > 0) {
    CHUNKKV_ASSIGN_OR_RETURN(recorded.model, ModelIdentityFromCanonicalText(FindMetadata(header, "model")));
  }
  std::map<int32_t, std::vector<float>> scores;
  for (const SafetensorsTensor& tensor : header.tensors) {
    if (tensor.name == "chunk_starts") {
      CHUNKKV_ASSIGN_OR_RETURN(recorded.prompt.chunk_starts, ReadList<int32_t>(file, tensor, "I32"));
      continue;
    }
    const std::optional<int32_t> layer = LayerOf(tensor.name);
    if (!layer) return Bad(absl::StrCat("tensor ", tensor.name.substr(0, 100), " has no meaning here"));
    CHUNKKV_ASSIGN_OR_RETURN(scores[*layer], ReadList<float>(file, tensor, "F32"));
  }
  if (scores.empty()) return Bad("there is no tensor layers.<l>.scores");
  for (auto& [layer, list] : scores) {
    recorded.layers.push_back(layer);
    recorded.prompt.scores.push_back(std::move(list));
  }
  return recorded;
}

absl::Status WriteRecordedPrompt(const std::string& path, const RecordedPromptFile& file) {
  CHUNKKV_CHECK(file.layers.size() == file.prompt.scores.size());
  std::vector<SafetensorsTensor> tensors;
  std::string body;
  const auto add = [&](std::string name, const char* dtype, const auto& list) {
    const auto size_bytes = static_cast<int64_t>(list.size() * sizeof(list[0]));
    tensors.push_back(
        {std::move(name), dtype, {static_cast<int64_t>(list.size())}, static_cast<int64_t>(body.size()), size_bytes});
    body.append(reinterpret_cast<const char*>(list.data()), size_bytes);
  };
  for (size_t i = 0; i < file.layers.size(); ++i) {
    add(absl::StrCat("layers.", file.layers[i], ".scores"), "F32", file.prompt.scores[i]);
  }
  if (!file.prompt.chunk_starts.empty()) add("chunk_starts", "I32", file.prompt.chunk_starts);
  std::map<std::string, std::string> metadata = {{"format", kFormat},
                                                 {"format_version", absl::StrCat(kVersion)},
                                                 {"token_count", absl::StrCat(file.prompt.token_count)}};
  if (file.model) metadata["model"] = CanonicalText(*file.model);
  const std::string head = EncodeSafetensorsHead(tensors, metadata);
  const auto bytes = [](const std::string& text) {
    return absl::Span<const std::byte>(reinterpret_cast<const std::byte*>(text.data()), text.size());
  };
  return WriteFileAtomically(path, {bytes(head), bytes(body)}, kOwnerOnly);
}

}  // namespace chunkkv::tune
