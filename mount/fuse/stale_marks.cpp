// Marking, refusing and passing.
#include "mount/fuse/stale_marks.hpp"

#include <algorithm>

namespace ringfs::mount {

void StaleMarks::mark(const Name& name, fs::InodeNumber child, TimePoint until, TimePoint now) {
  make_room(now);
  const auto former = marks_.find(child);
  if (former != marks_.end() && former->second.name != name) erase(former);
  Mark& mark = marks_[child];
  mark.name = name;
  mark.since = now;
  mark.until = std::max(mark.until, until + answer_age);
  mark.threads.clear();
  children_[name] = child;  // another child to which the name may lead stays marked, too
}

void StaleMarks::make_room(TimePoint now) {
  if (marks_.size() < sweep_at_) return;
  for (auto mark = marks_.begin(); mark != marks_.end();) {
    const auto place = mark++;
    if (place->second.until <= now) erase(place);
  }
  sweep_at_ = std::max<std::size_t>(2 * marks_.size(), 1024);
}

void StaleMarks::told(const Name& name, TimePoint now) {
  const auto child = children_.find(name);
  if (child == children_.end()) return;
  Mark& mark = marks_.at(child->second);
  mark.until = std::min(mark.until, now + answer_age);
}

void StaleMarks::moved(const Name& from, const Name& to) {
  const auto child = children_.find(from);
  if (child == children_.end()) return;
  const fs::InodeNumber inode = child->second;
  children_.erase(child);
  marks_.at(inode).name = to;
  children_[to] = inode;
}

void StaleMarks::exchanged(const Name& one, const Name& other) {
  const auto first = children_.find(one), second = children_.find(other);
  const auto child_of = [this](auto place) {
    return place == children_.end() ? std::nullopt : std::optional<fs::InodeNumber>(place->second);
  };
  const std::optional<fs::InodeNumber> left = child_of(first), right = child_of(second);
  children_.erase(one);
  children_.erase(other);
  const auto put = [this](const std::optional<fs::InodeNumber>& child, const Name& name) {
    if (!child) return;
    marks_.at(*child).name = name;
    children_[name] = *child;
  };
  put(left, other);
  put(right, one);
}

StaleMarks::Marks::iterator StaleMarks::find(fs::InodeNumber child, TimePoint now) {
  const auto mark = marks_.find(child);
  if (mark == marks_.end() || mark->second.until > now) return mark;
  erase(mark);
  return marks_.end();
}

void StaleMarks::erase(Marks::iterator mark) {
  const auto child = children_.find(mark->second.name);
  if (child != children_.end() && child->second == mark->first) children_.erase(child);
  marks_.erase(mark);
}

bool StaleMarks::marked(fs::InodeNumber child, TimePoint now) { return find(child, now) != marks_.end(); }

StaleMarks::Thread& StaleMarks::thread_of(Mark& mark, pid_t id) {
  const auto place =
      std::find_if(mark.threads.begin(), mark.threads.end(), [id](const Thread& thread) { return thread.id == id; });
  if (place != mark.threads.end()) return *place;
  if (mark.threads.size() >= most_threads) mark.threads.erase(mark.threads.begin());
  return mark.threads.emplace_back(Thread{id, {}, {}, {}, false, false});
}

std::optional<StaleMarks::TimePoint> StaleMarks::refuses(Mark& mark, pid_t id, bool Thread::*passes, TimePoint now) {
  Thread& thread = thread_of(mark, id);
  // Just after the mark an older answer may install the name again after this thread has asked for it.
  const bool certain = now >= mark.since + answer_age;
  const bool by_another_name = passes == &Thread::looked_up && now - thread.by_another_name < name_pause;
  if (by_another_name || (thread.*passes && (certain || now - thread.passed < call_pause))) {
    thread.passed = now;
    return std::nullopt;
  }
  if (now < thread.refused + call_pause) {
    thread.refused = {};
    return std::nullopt;
  }
  thread.asked = thread.looked_up = false;
  thread.refused = std::max(now, mark.since + change_time);
  return thread.refused;
}

std::optional<StaleMarks::TimePoint> StaleMarks::refuses(fs::InodeNumber child, pid_t thread, TimePoint now) {
  const auto mark = find(child, now);
  if (mark == marks_.end()) return std::nullopt;
  return refuses(mark->second, thread, &Thread::looked_up, now);
}

std::optional<StaleMarks::TimePoint> StaleMarks::refuses(const Name& name, pid_t thread, TimePoint now) {
  const auto child = children_.find(name);
  const auto mark = child == children_.end() ? marks_.end() : find(child->second, now);
  if (mark == marks_.end()) return std::nullopt;
  return refuses(mark->second, thread, &Thread::asked, now);
}

void StaleMarks::looked_up(const Name& name, std::optional<fs::InodeNumber> child, pid_t id, TimePoint now) {
  const auto note = [&](Marks::iterator mark) {
    if (mark == marks_.end()) return;
    Thread& thread = thread_of(mark->second, id);
    thread.passed = now;
    if (mark->second.name == name) {
      thread.asked = true;
      thread.looked_up = child == mark->first;
    } else {
      thread.by_another_name = now;
    }
  };
  const auto marked = children_.find(name);
  if (marked != children_.end()) note(find(marked->second, now));
  if (child) note(find(*child, now));  // one name may have led to several
}

}  // namespace ringfs::mount
