// Each node's share of the partitions, given everybody's tokens, and how one more token would change it. Token
// allocation (token_allocation.cpp) tries its candidates with it.
//
// Threads: none. Limits: most_replication.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <vector>

namespace ringfs::dht {

inline constexpr std::size_t most_replication = 7;

// The tokens of all nodes that hold data, and what each node's share of the partitions is. Adding a token changes
// only the lists of the few arcs whose first r nodes reach past it, so a candidate is judged in about r * r steps.
class TokenCircle {
 public:
  struct Token {
    std::size_t anchor;
    std::size_t node;
  };

  TokenCircle(std::vector<Token> tokens, std::size_t nodes, std::size_t partitions, std::size_t replication)
      : tokens_(std::move(tokens)), partitions_(partitions), replication_(replication), loads_(nodes), delta_(nodes) {
    std::sort(tokens_.begin(), tokens_.end(), [](const Token& a, const Token& b) { return a.anchor < b.anchor; });
    mean_primaries_ = static_cast<double>(partitions) / static_cast<double>(nodes);
    mean_replicas_ = mean_primaries_ * static_cast<double>(replication);
    mean_arc_ = static_cast<double>(partitions) / static_cast<double>(tokens_.size() + 1);
    View view{tokens_, tokens_.size(), {}};
    for (std::size_t i = 0; i < tokens_.size(); ++i)
      add(view, i, static_cast<std::ptrdiff_t>(arc(view, i)), loads_, recipients_);
  }

  // How much the cost grows (or, below zero, falls) with this token.
  double cost_with(const Token& token) {
    View before{tokens_, tokens_.size(), {}};
    std::size_t at = place_of(token.anchor);
    View after{tokens_, at, token};
    touched_.clear();
    recipient_delta_.clear();
    std::size_t size = tokens_.size();
    auto cut = static_cast<std::ptrdiff_t>(arc(after, at));  // the new token takes this much from the one behind it
    change(before, at % size, -cut);
    change(after, at, cut);
    std::vector<std::size_t>& seen = seen_;
    seen.clear();
    for (std::size_t step = 1; step < size; ++step) {
      std::size_t i = (at + size - step) % size;
      if (std::find(seen.begin(), seen.end(), tokens_[i].node) == seen.end()) seen.push_back(tokens_[i].node);
      if (seen.size() >= replication_) break;  // this list, and all further back, end before the new token
      auto length = static_cast<std::ptrdiff_t>(arc(before, i));
      change(before, i, -length);
      change(after, i < at ? i : i + 1, length);
    }
    double cost = 0;
    for (std::size_t node : touched_) {
      Load& delta = delta_[node];
      Load sum{loads_[node].primaries + delta.primaries, loads_[node].replicas + delta.replicas};
      cost += cost_of(sum) - cost_of(loads_[node]);
      delta = {};
    }
    for (const auto& [pair, delta] : recipient_delta_) {
      auto found = recipients_.find(pair);
      std::ptrdiff_t load = found == recipients_.end() ? 0 : found->second;
      cost += recipients_weight *
              (square(static_cast<double>(load + delta) / mean_arc_) - square(static_cast<double>(load) / mean_arc_));
    }
    auto old_arc = static_cast<double>(arc(before, at % size));
    auto new_arc = static_cast<double>(cut);
    return cost + arcs_weight * (square(new_arc / mean_arc_) + square((old_arc - new_arc) / mean_arc_) -
                                 square(old_arc / mean_arc_));
  }

 private:
  // What evenness of the arcs and of inheritance weigh beside the loads: enough to choose among equals.
  static constexpr double arcs_weight = 0.02;
  static constexpr double recipients_weight = 0.02;

  struct Load {
    std::ptrdiff_t primaries = 0;
    std::ptrdiff_t replicas = 0;
  };

  // tokens_ as if `extra` stood at index `at`; at == tokens.size() without a node in it means: no extra.
  struct View {
    const std::vector<Token>& tokens;
    std::size_t at;
    std::optional<Token> extra;
    std::size_t size() const { return tokens.size() + (extra ? 1 : 0); }
    const Token& operator[](std::size_t i) const {
      if (!extra || i < at) return tokens[i];
      return i == at ? *extra : tokens[i - 1];
    }
  };

  std::size_t place_of(std::size_t anchor) const {
    auto place = std::lower_bound(tokens_.begin(), tokens_.end(), anchor,
                                  [](const Token& token, std::size_t wanted) { return token.anchor < wanted; });
    return static_cast<std::size_t>(place - tokens_.begin());
  }

  std::size_t arc(const View& view, std::size_t i) const {
    std::size_t previous = view[(i + view.size() - 1) % view.size()].anchor;
    std::size_t distance = (view[i].anchor + partitions_ - previous) % partitions_;
    return distance == 0 ? partitions_ : distance;  // a single token has the whole circle
  }

  template <class Loads, class Heirs>
  void add(const View& view, std::size_t i, std::ptrdiff_t partitions, Loads& loads, Heirs& recipients) {
    std::array<std::size_t, most_replication> list{};
    std::size_t found = 0;
    for (std::size_t step = 0; step < view.size() && found < replication_; ++step) {
      std::size_t node = view[(i + step) % view.size()].node;
      auto end = list.begin() + static_cast<std::ptrdiff_t>(found);
      if (std::find(list.begin(), end, node) != end) continue;
      if (found == 0) loads[node].primaries += partitions;
      loads[node].replicas += partitions;
      if (found == 1) recipients[{list[0], node}] += partitions;
      list[found++] = node;
    }
  }

  void change(const View& view, std::size_t i, std::ptrdiff_t partitions) {
    struct Deltas {
      TokenCircle& circle;
      Load& operator[](std::size_t node) {
        auto& touched = circle.touched_;
        if (std::find(touched.begin(), touched.end(), node) == touched.end()) touched.push_back(node);
        return circle.delta_[node];
      }
    } deltas{*this};
    add(view, i, partitions, deltas, recipient_delta_);
  }

  // A high power of load / mean: nearly the maximum, but it also tells two layouts with one maximum apart.
  double cost_of(const Load& load) const {
    auto power = [](double ratio) { return square(square(square(ratio))); };
    return power(static_cast<double>(load.primaries) / mean_primaries_) +
           power(static_cast<double>(load.replicas) / mean_replicas_);
  }

  static double square(double value) { return value * value; }

  std::vector<Token> tokens_;
  std::size_t partitions_;
  std::size_t replication_;
  double mean_primaries_ = 1;
  double mean_replicas_ = 1;
  double mean_arc_ = 1;
  std::vector<Load> loads_;
  std::map<std::pair<std::size_t, std::size_t>, std::ptrdiff_t> recipients_;  // (primary, next node) -> partitions
  std::vector<Load> delta_;                                                   // all zero between two candidates
  std::map<std::pair<std::size_t, std::size_t>, std::ptrdiff_t> recipient_delta_;
  std::vector<std::size_t> touched_;
  std::vector<std::size_t> seen_;
};

}  // namespace ringfs::dht
