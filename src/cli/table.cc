#include "cli/table.h"

#include <algorithm>

namespace mizzen::cli {

Table::Table(std::vector<std::string> header, std::size_t gap)
    : gap_(gap), rows_{std::move(header)} {}

void Table::add(std::vector<std::string> row) {
  row.resize(rows_.front().size());
  rows_.push_back(std::move(row));
}

std::string Table::to_string() const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] + gap_ - row[i].size(), ' ');
    }
    out += '\n';
  }
  return out;
}

}  // namespace mizzen::cli
