"""When alarms are suppressed: maintenance windows, and while the machine is off."""
