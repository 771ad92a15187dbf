// The kept-chunk map: layers down, prompt across, darker where more tokens were kept.
#ifndef CHUNKKV_CLIENT_CLI_KEPT_MAP_H_
#define CHUNKKV_CLIENT_CLI_KEPT_MAP_H_

#include <string>
#include <vector>

#include "service/format/entry_header.h"

namespace chunkkv::cli {

// Share of tokens kept in each of `columns` equal spans of the prompt, for one group.
std::vector<double> KeptShares(const EntryHeader& header, size_t group, int columns);

// For a terminal of `width` characters: one line an attention layer; layers that share kept positions are joined by a
// bracket. Ends with a scale.
std::string KeptMapText(const EntryHeader& header, int width);

// The same as an SVG picture, with each group's kept runs drawn as they are.
std::string KeptMapSvg(const EntryHeader& header);

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_KEPT_MAP_H_
