"""Operations of end-to-end encryption: keys, signatures, backups, messages to devices."""
