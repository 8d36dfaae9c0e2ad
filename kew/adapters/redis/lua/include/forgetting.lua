-- Removing ended tasks before their time. Needs TASKS, CONTENTS, ENDED, queue.
-- include: moves
function dead.forget(t)
  unindex(ENDED, t.id)
  if t.status == 'f' then dead.unbury(t) end
  dead.clear(member_of(t))
  if t.beside then remove_content(t.id) end
  local forgotten = dead.work.forgotten
  forgotten[#forgotten + 1] = t.id
end

-- Records first: an entry that is left over means nothing.
function dead.flush_forgotten()
  if dead.work then send('HDEL', TASKS, dead.work.forgotten) end
  flush()
end
